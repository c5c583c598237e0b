package pickup

import (
	"filbert/pkg/durable"
	"filbert/pkg/proto"
	"filbert/pkg/spool"
	"filbert/pkg/wire"
)

const (
	// maildrop is the directory below the spool. Its mode lets our group make
	// and reach files in it and list none.
	maildrop = "maildrop"
	// unfinished ends the names of files that are being written.
	unfinished = ".new"
)

// drop leaves a message in maildrop/ for the drain. After an error nothing is
// left.
func (p *pickup) drop(m *proto.Submission, c *content) error {
	const doing = "keep the message until the mail system is up"
	// Not flushed behind the suite's reserve: that is for its own reports.
	if err := p.room(c.size()); err != nil {
		return noRoom(doing, err)
	}
	dir, err := durable.Open(p.site.inst.Spool)
	if err != nil {
		return noRoom(doing, err)
	}
	defer dir.Close()
	if _, err := spool.Drop(dir, encodeDrop(m), c.section()); err != nil {
		return noRoom(doing, err)
	}
	return nil
}

// encodeDrop is what stands in the place of a dropped message's envelope: the
// whole submission but its content.
func encodeDrop(m *proto.Submission) []byte {
	without := *m
	without.Content = proto.Content{Inline: []byte{}}
	var e wire.Encoder
	without.EncodeTo(&e)
	return e.Buf
}

// decodeDrop reads it back, to its last byte.
func decodeDrop(b []byte) (*proto.Submission, error) {
	d := wire.NewDecoder(b)
	m := new(proto.Submission)
	m.DecodeFrom(d)
	if len(m.Content.Inline) > 0 {
		d.Fail("content in the envelope")
	}
	if err := d.Finish(); err != nil {
		return nil, err
	}
	return m, nil
}
