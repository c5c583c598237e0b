package smtp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"filbert/pkg/untrusted"
)

// ErrProtocol is wrapped by the errors of ReplyParser: what the server sent is
// no SMTP reply, and the connection is of no further use.
var ErrProtocol = errors.New("protocol error of the server")

// ServerReply is what a server answered.
type ServerReply struct {
	Code   int
	Status Status         // the first one that fits the code; zero when there is none
	Text   untrusted.Text // what follows the codes of the lines (an enhanced status stays), joined by LF
}

// Permanent reports whether the code is 5yz.
func (r ServerReply) Permanent() bool { return r.Code/100 == 5 }

// Temporary reports whether the code is 4yz.
func (r ServerReply) Temporary() bool { return r.Code/100 == 4 }

// Success reports whether the code is 2yz.
func (r ServerReply) Success() bool { return r.Code/100 == 2 }

// Intermediate reports whether the code is 3yz.
func (r ServerReply) Intermediate() bool { return r.Code/100 == 3 }

// Diagnostic is code and text, as a report of delivery quotes it.
func (r ServerReply) Diagnostic() untrusted.Text {
	return untrusted.From(strconv.Itoa(r.Code) + " " + r.Text.ForWire())
}

// ReplyParser gathers the lines of one reply (RFC 5321, section 4.2). The zero
// value is ready, and is ready again after each reply.
type ReplyParser struct {
	lines  int
	octets int
	reply  ServerReply
	text   strings.Builder
}

// Feed takes one line without its CRLF, and reports whether it was the last.
// A line without a code of its own is an error. Where the codes of the lines
// differ, which RFC 5321, section 4.2.1 forbids, the worst counts: 5yz before
// 4yz before others, so that a refusal can't be overlooked.
func (p *ReplyParser) Feed(line []byte) (done bool, err error) {
	p.lines++
	p.octets += len(line) + 2
	if len(line) > MaxServerReplyLine || p.lines > MaxReplyLines || p.octets > MaxReplyOctets {
		return false, fmt.Errorf("%w: reply too long", ErrProtocol)
	}
	code, ok := replyCode(line)
	if !ok || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return false, fmt.Errorf("%w: line without a reply code", ErrProtocol)
	}
	rest := ""
	if len(line) > 4 {
		rest = string(line[4:])
	}
	p.take(code, rest)
	return len(line) == 3 || line[3] == ' ', nil
}

// Result is the reply, once Feed has said that it is whole.
func (p *ReplyParser) Result() ServerReply {
	r := p.reply
	r.Text = untrusted.From(p.text.String())
	*p = ReplyParser{}
	return r
}

func (p *ReplyParser) take(code int, rest string) {
	if p.lines > 1 {
		p.text.WriteByte('\n')
	}
	p.text.WriteString(rest)
	word, _, _ := strings.Cut(rest, " ")
	status, err := ParseStatus(word)
	has := err == nil && status.Class == code/100
	switch {
	case p.lines == 1 || severity(code) > severity(p.reply.Code):
		// The status of a line that does not count any more goes with it.
		p.reply.Code, p.reply.Status = code, Status{}
	case severity(code) < severity(p.reply.Code):
		return
	case code/100 != p.reply.Code/100:
		p.reply.Code, p.reply.Status = code, Status{} // 2yz and 3yz: the last line's
	}
	if has && p.reply.Status.IsZero() {
		p.reply.Status = status
	}
}

func severity(code int) int {
	switch code / 100 {
	case 5:
		return 2
	case 4:
		return 1
	}
	return 0
}

// replyCode reads three digits, the first from 2 to 5. The second is not held
// to the 0 to 5 of RFC 5321, section 4.2, since servers do send 571 and 590.
func replyCode(line []byte) (int, bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigits(string(line[:3])) {
		return 0, false
	}
	return int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0'), true
}
