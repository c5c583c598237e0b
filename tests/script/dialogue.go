package script

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// A dialogue is lines:
//
//	C: text       the client sends the line; several in a row leave in one packet
//	C~ text       the same without a line end, Go escapes understood
//	CxN: text     N lines; {n} in them is 1 to N. Also C~xN
//	C< FILE       the lines of a file, dots doubled, then the final dot
//	C= FILE       a file's octets as they are
//	S: 250 2.1    the server's next reply is complete and its last line begins so
//	              ("*" is any text)
//	SxN: 250      N replies of that kind
//	S+ text       that reply also has a line that begins so, behind the code
//	S- text       that reply has no such line
//	CONN NAME     from here on, another connection, made when it is first named
//	PAUSE         wait until what was sent is read by the other end
//	CLOSE         the client closes; RESET: so that the server gets a reset
//	EOF           the server closes, and says nothing more
//	# text        a comment
//
// At the end every connection is closed, or with -keep at the end of the script.
func smtpDialogue(ts *testscript.TestScript, neg bool, args []string) {
	o, args := options(ts, args, "keep")
	usage(ts, !neg && len(args) == 1, "smtp [-to LISTENER] [-from IP] [-keep] FILE")
	w := worldOf(ts)
	p := &player{ts: ts, address: w.address(ts, o["to"]), from: o["from"], conns: map[string]*dialogueConn{}}
	if o["keep"] != "" {
		ts.Defer(p.close)
	} else {
		defer p.close()
	}
	for i, line := range strings.Split(read(ts, args[0]), "\n") {
		if err := p.line(line); err != nil {
			ts.Fatalf("%s, line %d, %q: %v\nso far:\n%s", args[0], i+1, line, err, p.transcript())
		}
	}
	if err := p.flush(); err != nil && !errors.Is(err, net.ErrClosed) {
		ts.Logf("at the end of %s: %v", args[0], err)
	}
}

// player plays one dialogue.
type player struct {
	ts      *testscript.TestScript
	address string
	from    string
	conns   map[string]*dialogueConn
	now     *dialogueConn
	said    []string
}

type dialogueConn struct {
	c     net.Conn
	r     *bufio.Reader
	out   []byte
	reply []string // the last
}

func (p *player) note(who, what string) {
	if len(what) > 200 {
		what = what[:200] + "..."
	}
	p.said = append(p.said, who+" "+what)
}

// transcript is the end of what was said.
func (p *player) transcript() string { return strings.Join(p.said[max(0, len(p.said)-30):], "\n") }

func (p *player) close() {
	for _, c := range p.conns {
		c.c.Close()
	}
}

// conn is the present connection.
func (p *player) conn() (*dialogueConn, error) {
	if p.now == nil {
		return p.named("")
	}
	return p.now, nil
}

func (p *player) named(name string) (*dialogueConn, error) {
	if c := p.conns[name]; c != nil {
		p.now = c
		return c, nil
	}
	d := net.Dialer{Timeout: patience}
	if p.from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(p.from)}
	}
	c, err := d.Dial("tcp", p.address)
	if err != nil {
		return nil, err
	}
	p.now = &dialogueConn{c: c, r: bufio.NewReader(c)}
	p.conns[name] = p.now
	return p.now, nil
}

func (p *player) flush() error {
	c := p.now
	if c == nil || len(c.out) == 0 {
		return nil
	}
	out := c.out
	c.out = nil
	if err := c.c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := c.c.Write(out)
	return err
}

var repeated = regexp.MustCompile(`^(C|C~|S)x(\d+):? (.*)$`)

func (p *player) line(line string) error {
	times := 1
	if m := repeated.FindStringSubmatch(line); m != nil {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			return err
		}
		times = n
		sep := map[string]string{"C": "C:", "C~": "C~", "S": "S:"}[m[1]]
		line = sep + " " + m[3]
	}
	word, rest, _ := strings.Cut(line, " ")
	for n := 1; n <= times; n++ {
		if err := p.step(word, strings.ReplaceAll(rest, "{n}", strconv.Itoa(n))); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) step(word, rest string) error {
	if word == "" || word[0] == '#' {
		return nil
	}
	if word == "CONN" {
		if err := p.flush(); err != nil {
			return err
		}
		_, err := p.named(rest)
		return err
	}
	c, err := p.conn()
	if err != nil {
		return err
	}
	switch word {
	case "C:":
		p.note("C:", rest)
		c.out = append(append(c.out, rest...), "\r\n"...)
	case "C~":
		p.note("C~", rest)
		raw, err := unescape(rest)
		c.out = append(c.out, raw...)
		return err
	case "C<":
		p.note("C<", rest)
		c.out = append(c.out, stuff(crlf(read(p.ts, rest)))...)
	case "C=":
		b, err := os.ReadFile(p.ts.MkAbs(rest))
		c.out = append(c.out, b...)
		return err
	case "S:":
		return p.expect(c, rest)
	case "S+", "S-":
		return p.has(c, rest, word == "S+")
	case "PAUSE":
		return p.flush()
	case "CLOSE":
		if err := p.flush(); err != nil {
			return err
		}
		return c.c.Close()
	case "RESET":
		if err := p.flush(); err != nil {
			return err
		}
		if t, ok := c.c.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		return c.c.Close()
	case "EOF":
		return p.eof(c)
	default:
		return errors.New("not a word of the language of dialogues")
	}
	return nil
}

// expect reads one whole reply.
func (p *player) expect(c *dialogueConn, want string) error {
	if err := p.flush(); err != nil {
		return err
	}
	if err := c.c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	reply, err := readReply(c.r)
	c.reply = reply
	for _, l := range reply {
		p.note("S:", l)
	}
	if err != nil {
		return fmt.Errorf("got %q and %w", reply, err)
	}
	last := reply[len(reply)-1]
	if !begins(last, want) {
		return fmt.Errorf("got %q", last)
	}
	if _, id, ok := strings.Cut(last, " queued as "); ok {
		worldOf(p.ts).queued = append(worldOf(p.ts).queued, id)
	}
	return nil
}

func (p *player) has(c *dialogueConn, want string, wanted bool) error {
	for _, l := range c.reply {
		if len(l) > 4 && begins(l[4:], want) {
			if wanted {
				return nil
			}
			return fmt.Errorf("the reply has %q", l)
		}
	}
	if wanted {
		return fmt.Errorf("the reply is %q", c.reply)
	}
	return nil
}

func (p *player) eof(c *dialogueConn) error {
	if err := p.flush(); err != nil {
		return err
	}
	if err := c.c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(c.r, 4096))
	if len(b) > 0 {
		return fmt.Errorf("the server says %q instead", b)
	}
	var t net.Error
	if errors.As(err, &t) && t.Timeout() {
		return errors.New("the server does not close")
	}
	return nil // a reset closes as well
}

var replyLine = regexp.MustCompile(`^[2-5][0-9][0-9]([ -].*)?\r\n$`)

// readReply reads the lines of one reply and is strict about them: RFC 5321,
// section 4.2.
func readReply(r *bufio.Reader) ([]string, error) {
	var lines []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return append(lines, line), err
		}
		text := strings.TrimSuffix(line, "\r\n")
		lines = append(lines, text)
		switch {
		case !replyLine.MatchString(line):
			return lines, errors.New("this is no reply")
		case len(line) > 512:
			return lines, errors.New("a reply line is longer than 512 octets")
		case lines[0][:3] != text[:3]:
			return lines, errors.New("the codes of one reply differ")
		case len(text) == 3 || text[3] == ' ':
			return lines, nil
		}
	}
}

// begins tells whether text begins with a pattern in which "*" is any text.
func begins(text, want string) bool {
	return regexp.MustCompile(`(?s)^` + strings.ReplaceAll(regexp.QuoteMeta(want), `\*`, `.*`)).MatchString(text)
}

// unescape understands the escapes of a Go string.
func unescape(s string) (string, error) {
	return strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
}

// crlf makes text with LF or CRLF into text with CRLF.
func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// stuff doubles leading dots and adds the final one.
func stuff(s string) string {
	if s != "" && !strings.HasSuffix(s, "\r\n") {
		s += "\r\n"
	}
	if strings.HasPrefix(s, ".") {
		s = "." + s
	}
	return strings.ReplaceAll(s, "\r\n.", "\r\n..") + ".\r\n"
}
