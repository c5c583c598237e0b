package smtpclient

import (
	"context"
	"fmt"
	"io"
	"slices"

	"filbert/pkg/message"
	"filbert/pkg/smtp"
)

// leave makes of the message what is to leave by this transport: its header
// edited, its addresses rewritten. The job becomes a copy that describes the
// changed message, so that all that follows (SIZE, 8BITMIME, SMTPUTF8, the
// conversion to 7 bits) looks at what will be sent. Most messages are not
// changed, and cost nothing here.
func (d *delivery) leave(ctx context.Context) error {
	if d.job.Edit.IsEmpty() && d.route.edit.empty() && d.route.rewrites.Empty() {
		return nil
	}
	err := d.change(ctx)
	if why := unchangeable(err); why != nil {
		d.settleAll(*why)
		return nil
	}
	return err
}

func (d *delivery) change(ctx context.Context) error {
	edit, err := d.editOf()
	if err != nil {
		return err
	}
	h, old, err := d.content.header(d.route.header)
	if err != nil {
		return err
	}
	job := *d.job
	d.job = &job
	head := old
	if edit != nil {
		head = h.Edited(edit.Remove, edit.Add)
		job.UTF8 = job.UTF8 || slices.ContainsFunc(edit.Add, has8Bit)
	}
	if !d.route.rewrites.Empty() {
		if head, err = d.rewrite(ctx, head); err != nil {
			return err
		}
	}
	d.content.replaceHeader(len(old), head)
	job.Content.Size = d.content.size
	return d.describe(look(old), look(head))
}

// describe says of the job what is true of the changed message. Only where the
// old header alone may have had what the new one has not, the rest must be read
// to know.
func (d *delivery) describe(before, after features) error {
	if d.job.Has8Bit && before.eightBit && !after.eightBit || d.job.LongLine && before.longLine && !after.longLine {
		var c message.CheckContent
		if _, err := io.Copy(&c, d.content.reader()); err != nil {
			return fmt.Errorf("%w: %w", errContent, err)
		}
		d.job.Has8Bit, d.job.LongLine = c.EightBit(), c.LongestLine() > smtp.MaxTextLine
		return nil
	}
	d.job.Has8Bit = d.job.Has8Bit || after.eightBit
	d.job.LongLine = d.job.LongLine || after.longLine
	return nil
}

// features of a text that decide how it may be sent.
type features struct{ eightBit, longLine bool }

func look(text []byte) features {
	var c message.CheckContent
	_, _ = c.Write(text) // never fails
	return features{c.EightBit(), c.LongestLine() > smtp.MaxTextLine}
}

func has8Bit(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return true
		}
	}
	return false
}
