package pickup

import (
	"bytes"
	"io"
	"strings"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

const (
	// maxNoticeHeader is what a notice shows of the refused message.
	maxNoticeHeader = 4 << 10
	// maxNoticeRecipients is how many recipients it names.
	maxNoticeRecipients = 50
)

// noticeTo is the envelope of a notice: from nobody, so that it is never
// answered.
func (p *pickup) noticeTo(a mailaddr.Address) *proto.Submission {
	m := p.submission(mailaddr.Address{}, []mailaddr.Address{a})
	p.site.complete(&m.Envelope)
	return m
}

// notice tells the sender of a message that was taken while the suite was down
// why it is not sent. head is the front of the message.
func notice(v *envelope.Envelope, a *proto.Acceptance, head []byte, name string) string {
	var b strings.Builder
	line := func(parts ...string) {
		for _, p := range parts {
			b.WriteString(p)
		}
		b.WriteString("\r\n")
	}
	line("From: Mail Delivery System <MAILER-DAEMON@", name, ">")
	line("To: ", v.Sender.String())
	line("Subject: Your message was not sent")
	line("Auto-Submitted: auto-replied") // RFC 3834, section 5.1.7
	line("MIME-Version: 1.0")
	line("Content-Type: text/plain; charset=utf-8")
	line()
	line("A message of yours was kept while the mail system of ", name, " was down.")
	line("When it was up again it refused the message, which was not sent to anyone:")
	line()
	line("    ", strings.TrimPrefix(refusal(a).Error(), "not accepted: "))
	line()
	line("It was for:")
	line()
	for i := range v.Recipients[:min(len(v.Recipients), maxNoticeRecipients)] {
		line("    ", untrusted.From(v.Recipients[i].Address.String()).ForTerminal())
	}
	if len(v.Recipients) > maxNoticeRecipients {
		line("    and others")
	}
	line()
	line("Its header begins with:")
	line()
	if end := bytes.Index(head, []byte("\r\n\r\n")); end >= 0 {
		head = head[:end]
	}
	for s := range strings.SplitSeq(untrusted.FromBytes(head).ForReport(), "\n") {
		line("    ", strings.TrimSuffix(s, "\r"))
	}
	return b.String()
}

func section(b []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}
