package config

import (
	"fmt"
	"strings"
)

// checkTransportEdits finds transports that would have to send one text to
// several recipients who each have another. The message is sent once for all of
// them, so what it says of the recipient can be true for one only.
func (c *checker) checkTransportEdits() {
	for _, name := range sortedKeys(c.s.Transports) {
		t := c.s.Transports[name]
		if !contains(remoteDrivers, t.Driver) || t.MaxRecipients == 1 {
			continue // a local delivery is for one recipient in any case
		}
		for i, text := range t.HeadersAdd {
			word := recipientWord(text)
			if word == "" {
				continue
			}
			path := "transport." + name
			c.bad(fmt.Sprintf("%s.headers_add[%d]", path, i),
				fmt.Sprintf("names the recipient by %s, and %s.max_recipients is %d: one message is sent to all of them", word, path, t.MaxRecipients),
				"write max_recipients = 1 for this transport, or leave the recipient out")
			break
		}
	}
}

// recipientWord is the first placeholder in text that stands for the recipient, "" if
// there is none.
func recipientWord(text string) string {
	for _, word := range []string{"{recipient}", "{local_part}", "{domain}"} {
		if strings.Contains(text, word) {
			return word
		}
	}
	return ""
}
