package smtpclient

import (
	"fmt"
	"strings"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/smtp"
)

// headerEdit is what a transport changes in the header of all that it sends.
type headerEdit struct {
	add, remove  []string
	perRecipient bool // what is added depends on the recipient
}

func newHeaderEdit(add, remove []string) headerEdit {
	e := headerEdit{add: add}
	for _, name := range remove {
		e.remove = append(e.remove, strings.ToLower(name))
	}
	for _, field := range add {
		for _, name := range []string{"{local_part}", "{domain}", "{recipient}"} {
			e.perRecipient = e.perRecipient || strings.Contains(field, name)
		}
	}
	return e
}

func (e *headerEdit) empty() bool { return len(e.add) == 0 && len(e.remove) == 0 }

// of is the edit for one message. With several recipients no text would be true
// for all of them. The check of the configuration wants max_recipients = 1 then;
// what comes here all the same is a mistake of ours, and waits.
func (e *headerEdit) of(sender mailaddr.Address, to []envelope.Recipient) (*envelope.Edit, error) {
	out := &envelope.Edit{Remove: e.remove}
	words := []string{"{sender}", sender.String()}
	if e.perRecipient {
		if len(to) != 1 {
			return nil, fmt.Errorf("headers_add names the recipient, and the message has %d: set max_recipients = 1", len(to))
		}
		a := to[0].Address
		words = append(words, "{local_part}", a.Local(), "{domain}", a.Domain(), "{recipient}", a.String())
	}
	// One pass: braces of an address are not filled in again.
	fill := strings.NewReplacer(words...)
	for _, field := range e.add {
		out.Add = append(out.Add, strings.Map(noControl, fill.Replace(field)))
	}
	return out, nil
}

// noControl takes out what could end a line: a quoted local part may have much
// in it.
func noControl(r rune) rune {
	if r < ' ' && r != '\t' || r == 0x7f {
		return -1
	}
	return r
}

// editOf is all that is to be changed in the header of the job; nil = nothing.
func (d *delivery) editOf() (*envelope.Edit, error) {
	e := d.job.Edit
	if own := &d.route.edit; !own.empty() {
		more, err := own.of(d.job.Sender, d.job.Recipients)
		if err != nil {
			return nil, fmt.Errorf("transport %s: %w", d.route.name, err)
		}
		e = e.Then(more)
	}
	if e.IsEmpty() {
		return nil, nil
	}
	for _, field := range e.Add {
		if len(field) > smtp.MaxTextLine {
			// Our own words: the message is not to blame, so it waits.
			name, _, _ := strings.Cut(field, ":")
			return nil, fmt.Errorf("header field %s, which is to be added, has %d octets, and a line may have %d", name, len(field), smtp.MaxTextLine)
		}
	}
	return e, nil
}
