package smtpclient

import (
	"bytes"
	"fmt"

	"filbert/pkg/message"
	"filbert/pkg/settings"
)

// headerLimits is the most of a header that can be changed on its way out: twice
// what may come in, as lists and servers on the way have added to it.
func headerLimits(l *settings.Limits) message.Limits {
	lim := message.DefaultLimits()
	lim.Fields = max(lim.Fields, 2*l.HeaderFields)
	lim.Octets = max(lim.Octets, 2*int(l.HeaderSize))
	return lim
}

// firstRead is how much of a large message is read to find its header; most
// are shorter.
const firstRead = 16 << 10

// header reads and scans the header. The result has it as it stands, without the
// empty line; what is behind stays where it is.
func (c *content) header(lim message.Limits) (message.Header, []byte, error) {
	text := c.inline
	if c.file != nil {
		var err error
		if text, err = c.front(int64(lim.Octets)); err != nil {
			return message.Header{}, nil, err
		}
	}
	h, err := message.Scan(text, lim)
	if err != nil {
		return h, nil, fmt.Errorf("read the header: %w", err)
	}
	return h, text[:h.End:h.End], nil
}

// front reads the beginning of a file, to behind the empty line that ends the
// header, or a little more than limit.
func (c *content) front(limit int64) ([]byte, error) {
	for n := int64(firstRead); ; n *= 4 {
		text := make([]byte, min(n, c.size, limit+2))
		if err := c.readAt(text, 0); err != nil {
			return nil, fmt.Errorf("read the header: %w", err)
		}
		if int64(len(text)) < n || bytes.Contains(text, []byte("\r\n\r\n")) || bytes.HasPrefix(text, []byte("\r\n")) {
			return text, nil
		}
	}
}

// replaceHeader puts head in the place of the first end octets.
func (c *content) replaceHeader(end int, head []byte) {
	if len(head) == end && bytes.Equal(head, c.inline[:min(end, len(c.inline))]) {
		return
	}
	c.size += int64(len(head) - end)
	if c.file != nil {
		c.head, c.offset = head, c.offset+int64(end)
		return
	}
	// The caller's octets stay as they are: a call may be made again.
	c.inline = append(head[:len(head):len(head)], c.inline[end:]...)
}
