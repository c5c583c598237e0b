package script

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// A sink is a server that takes mail and keeps it, with -tls over STARTTLS where
// the client wants, with -cert under a certificate for a name that the suite
// trusts, with -auth only of those who have logged in. Its rules are lines
//
//	[Nx] EVENT [GLOB] ACTION
//
// EVENT is connect, ehlo, helo, starttls, auth, mail, rcpt, data, dot, bdat, rset, quit or *; GLOB
// ("*" is any text) must match the whole of what the client said, in LMTP at
// dot the recipient, at connect the client's address and port; Nx is for the first N times only. The first rule that
// matches decides. ACTION is a reply, "250-a / 250 b" for one of several lines,
// "last REPLY" (say it and close), drop (close), reset, hang (say nothing, until the
// client closes), or raw with octets to send as they are (Go escapes).
//
// Without a rule everything is taken. The sink writes NAME/N.eml (content, LF),
// NAME/N.raw (content as it came, without the transparency of dots), NAME/N.env
// (MAIL and the RCPTs that were taken, with -auth LOGIN and the user's name) and
// NAME/transcript.
type sink struct {
	name string
	dir  string
	lmtp bool
	tls  *tls.Config // nil: not offered
	l    net.Listener

	logins map[string]string // password of each user; nil: anybody may send

	mu    sync.Mutex
	rules []*rule
	taken int
	made  int
	conns map[net.Conn]bool
	ended sync.WaitGroup
	out   *os.File
}

type rule struct {
	left   int // -1: always
	event  string
	glob   *regexp.Regexp
	action string
}

func sinkCommand(ts *testscript.TestScript, neg bool, args []string) {
	const help = "sink NAME [-lmtp] [-tls] [-cert HOST] [-auth USER:PASSWORD,...] [-at IP | -unix PATH] [FILE]"
	usage(ts, !neg && len(args) > 0, help)
	w, name := worldOf(ts), args[0]
	o, rest := options(ts, args[1:], "lmtp", "tls")
	usage(ts, len(rest) <= 1, help)
	var rules []*rule
	if len(rest) == 1 {
		var err error
		rules, err = parseRules(read(ts, rest[0]))
		ts.Check(err)
	}
	if s := w.sinks[name]; s != nil {
		s.mu.Lock()
		s.rules = rules
		s.mu.Unlock()
		return
	}
	l, err := listenFor(ts, w, o)
	ts.Check(err)
	s := &sink{name: name, dir: filepath.Join(w.dir, name), lmtp: o["lmtp"] != "", l: l, rules: rules, conns: map[net.Conn]bool{}}
	s.logins = parseLogins(o["auth"])
	if o["tls"] != "" || o["cert"] != "" {
		s.tls, err = w.certified(o["cert"])
		ts.Check(err)
	}
	ts.Check(os.MkdirAll(s.dir, 0o700))
	s.out, err = os.OpenFile(filepath.Join(s.dir, "transcript"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	// One that comes back after sink-stop counts on.
	old, err := filepath.Glob(filepath.Join(s.dir, "*.env"))
	ts.Check(err)
	s.taken = len(old)
	s.ended.Go(s.accept)
	w.sinks[name] = s
}

func listenFor(ts *testscript.TestScript, w *world, o map[string]string) (net.Listener, error) {
	if path := o["unix"]; path != "" {
		return net.Listen("unix", ts.MkAbs(path))
	}
	ip := o["at"]
	if ip == "" {
		ip = "127.0.0.1"
	}
	return listenAgain(ts, net.JoinHostPort(ip, strconv.Itoa(w.port)))
}

// listenAgain listens where a server may just have been closed. A program that another
// script is starting has its socket, too, until it runs: between fork and exec all
// descriptors of this process are copied.
func listenAgain(ts *testscript.TestScript, address string) (l net.Listener, err error) {
	until(ts, func() (bool, string) {
		l, err = net.Listen("tcp", address)
		return !errors.Is(err, syscall.EADDRINUSE), fmt.Sprint(err)
	})
	return l, err
}

func sinkStop(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "sink-stop NAME")
	w := worldOf(ts)
	s := w.sinks[args[0]]
	usage(ts, s != nil, "there is no sink "+args[0])
	s.close()
	delete(w.sinks, args[0])
}

func waitSink(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "wait-sink NAME N")
	s := worldOf(ts).sinks[args[0]]
	usage(ts, s != nil, "there is no sink "+args[0])
	want := number(ts, args[1])
	until(ts, func() (bool, string) {
		n := s.count()
		return n >= want, fmt.Sprintf("%s has taken %d messages, %d are wanted", s.name, n, want)
	})
	if n := s.count(); n > want {
		ts.Fatalf("%s has taken %d messages, not %d", s.name, n, want)
	}
}

var action = regexp.MustCompile(`^([2-5][0-9][0-9][ -]|last |drop$|reset$|hang$|raw )`)

func parseRules(text string) ([]*rule, error) {
	var out []*rule
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		r := &rule{left: -1}
		first, rest, _ := strings.Cut(line, " ")
		if n, ok := strings.CutSuffix(first, "x"); ok {
			times, err := strconv.Atoi(n)
			if err != nil {
				return nil, fmt.Errorf("rule %q: %w", line, err)
			}
			r.left = times
			first, rest, _ = strings.Cut(rest, " ")
		}
		r.event = first
		if !action.MatchString(rest) {
			var glob string
			glob, rest, _ = strings.Cut(rest, " ")
			r.glob = regexp.MustCompile(`(?is)^` + strings.ReplaceAll(regexp.QuoteMeta(glob), `\*`, `.*`) + `$`)
		}
		if r.action = rest; !action.MatchString(rest) {
			return nil, fmt.Errorf("rule %q has no action", line)
		}
		out = append(out, r)
	}
	return out, nil
}

// decide is the action for an event, or what is done without a rule.
func (s *sink) decide(event, what, otherwise string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		if r.left == 0 || r.event != event && r.event != "*" || r.glob != nil && !r.glob.MatchString(what) {
			continue
		}
		if r.left > 0 {
			r.left--
		}
		return r.action
	}
	return otherwise
}

func (s *sink) count() int { s.mu.Lock(); defer s.mu.Unlock(); return s.taken }

// mails are the texts of what it has taken.
func (s *sink) mails() []string {
	var out []string
	for n := range s.count() {
		if b, err := os.ReadFile(filepath.Join(s.dir, strconv.Itoa(n+1)+".eml")); err == nil {
			out = append(out, string(b))
		}
	}
	return out
}

func (s *sink) note(conn int, who, what string) {
	if len(what) > 300 {
		what = what[:300] + "..."
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "%d %s %s\n", conn, who, what)
}

func (s *sink) tail() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "transcript"))
	return string(b[max(0, len(b)-4000):])
}

func (s *sink) close() {
	s.l.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.ended.Wait()
	s.out.Close()
}

func (s *sink) accept() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.made++
		n := s.made
		s.mu.Unlock()
		s.ended.Go(func() {
			k := &guest{s: s, c: c, n: n, r: bufio.NewReader(c)}
			if err := k.serve(); err != nil {
				s.note(n, "--", err.Error())
			}
			c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

// guest is one connection of a sink.
type guest struct {
	s *sink
	c net.Conn
	n int
	r *bufio.Reader

	login   string
	from    string
	to      []string
	content []byte
}

var errEnd = errors.New("closed by a rule")

// act carries out an action and gives the reply's first digit.
func (k *guest) act(a string) (byte, error) {
	k.s.note(k.n, "S:", a)
	switch {
	case a == "drop":
		return 0, errEnd
	case a == "reset":
		if t, ok := k.c.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		return 0, errEnd
	case a == "hang":
		_, _ = io.Copy(io.Discard, k.r) // its end is what is waited for
		return 0, errEnd
	case strings.HasPrefix(a, "last "):
		_, err := io.WriteString(k.c, a[5:]+"\r\n")
		return 0, errors.Join(err, errEnd)
	case strings.HasPrefix(a, "raw "):
		raw, err := unescape(a[4:])
		if err == nil {
			_, err = io.WriteString(k.c, raw)
		}
		return '0', err
	}
	_, err := io.WriteString(k.c, strings.ReplaceAll(a, " / ", "\r\n")+"\r\n")
	return a[0], err
}

func (k *guest) serve() error {
	if d, err := k.act(k.s.decide("connect", k.c.RemoteAddr().String(), "220 "+k.s.name+".test ready")); err != nil || d != '2' && d != '0' {
		return err
	}
	for {
		line, err := k.r.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasSuffix(line, "\r\n") {
			return fmt.Errorf("a line without CRLF: %q", line)
		}
		line = strings.TrimSuffix(line, "\r\n")
		k.s.note(k.n, "C:", line)
		if err := k.command(line); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

const extensions = "250-PIPELINING / 250-SIZE 104857600 / 250-8BITMIME / 250-SMTPUTF8 / 250-ENHANCEDSTATUSCODES / 250 DSN"

func (k *guest) command(line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	verb = strings.ToLower(verb)
	switch verb {
	case "ehlo", "lhlo", "helo":
		k.from, k.to, k.content = "", nil, nil
		otherwise := "250 " + k.s.name + ".test"
		if verb != "helo" {
			otherwise = "250-" + k.s.name + ".test / " + k.offer() + k.offerAuth() + extensions
			verb = "ehlo"
		}
		_, err := k.act(k.s.decide(verb, arg, otherwise))
		return err
	case "starttls":
		if k.s.tls == nil {
			break
		}
		d, err := k.act(k.s.decide(verb, "", "220 2.0.0 go ahead"))
		if d == '2' {
			err = k.startTLS()
		}
		return err
	case "auth":
		if k.s.logins != nil {
			return k.auth(arg)
		}
	case "mail":
		if k.s.logins != nil && k.login == "" {
			_, err := k.act("530 5.7.0 log in first")
			return err
		}
		d, err := k.act(k.s.decide(verb, arg, "250 2.1.0 ok"))
		if d == '2' {
			k.from, k.to = line, nil
		}
		return err
	case "rcpt":
		if k.from == "" {
			_, err := k.act("503 5.5.1 MAIL first")
			return err
		}
		d, err := k.act(k.s.decide(verb, arg, "250 2.1.5 ok"))
		if d == '2' {
			k.to = append(k.to, line)
		}
		return err
	case "data":
		return k.data()
	case "bdat":
		return k.bdat(arg)
	case "quit":
		if _, err := k.act(k.s.decide(verb, arg, "221 2.0.0 bye")); err != nil {
			return err
		}
		return io.EOF
	case "rset":
		k.from, k.to, k.content = "", nil, nil
	}
	otherwise := "250 2.0.0 ok"
	if verb != "rset" && verb != "noop" {
		otherwise = "500 5.5.1 what is that"
	}
	_, err := k.act(k.s.decide(verb, arg, otherwise))
	return err
}

// offer is the line of EHLO that says STARTTLS, where that is still to come.
func (k *guest) offer() string {
	if _, secure := k.c.(*tls.Conn); secure || k.s.tls == nil {
		return ""
	}
	return "250-STARTTLS / "
}

func (k *guest) startTLS() error {
	c := tls.Server(k.c, k.s.tls)
	if err := c.Handshake(); err != nil {
		return err
	}
	k.s.note(k.n, "--", tls.VersionName(c.ConnectionState().Version))
	k.c, k.r = c, bufio.NewReader(c)
	return nil
}

func (k *guest) data() error {
	otherwise := "354 go on"
	if len(k.to) == 0 {
		otherwise = "554 5.5.1 no valid recipients"
	}
	d, err := k.act(k.s.decide("data", "", otherwise))
	if err != nil || d != '3' {
		return err
	}
	for {
		line, err := k.r.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) {
			k.content = append(k.content, line...)
			line, err = k.r.ReadSlice('\n')
		}
		if err != nil {
			return err
		}
		if string(line) == ".\r\n" && (len(k.content) == 0 || k.content[len(k.content)-1] == '\n') {
			return k.dot()
		}
		if len(line) > 1 && line[0] == '.' && (len(k.content) == 0 || k.content[len(k.content)-1] == '\n') {
			line = line[1:]
		}
		k.content = append(k.content, line...)
	}
}

func (k *guest) bdat(arg string) error {
	size, last, _ := strings.Cut(arg, " ")
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(k.r, b); err != nil {
		return err
	}
	k.content = append(k.content, b...)
	if strings.EqualFold(last, "LAST") {
		return k.dot()
	}
	_, err = k.act(k.s.decide("bdat", arg, "250 2.0.0 more"))
	return err
}

// dot is the end of the content.
func (k *guest) dot() error {
	k.s.note(k.n, "C:", fmt.Sprintf("(%d octets)", len(k.content)))
	var took []string
	if k.s.lmtp {
		for _, r := range k.to {
			d, err := k.act(k.s.decide("dot", r[len("RCPT "):], "250 2.0.0 taken"))
			if err != nil {
				return err
			}
			if d == '2' {
				took = append(took, r)
			}
		}
	} else {
		a := k.s.decide("dot", k.from, "250 2.0.0 taken")
		if a[0] == '2' || strings.HasPrefix(a, "last 2") { // kept before the client can know of it
			took = k.to
			if err := k.keep(took); err != nil {
				return err
			}
		}
		if _, err := k.act(a); err != nil {
			return err
		}
	}
	var err error
	if k.s.lmtp && len(took) > 0 {
		err = k.keep(took)
	}
	k.from, k.to, k.content = "", nil, nil
	return err
}

func (k *guest) keep(took []string) error {
	s := k.s
	s.mu.Lock()
	defer s.mu.Unlock()
	base := filepath.Join(s.dir, strconv.Itoa(s.taken+1))
	env := k.from + "\n" + strings.Join(took, "\n") + "\n"
	if k.login != "" {
		env += "LOGIN " + k.login + "\n"
	}
	eml := strings.ReplaceAll(string(k.content), "\r\n", "\n")
	err := errors.Join(
		os.WriteFile(base+".raw", k.content, 0o600),
		os.WriteFile(base+".eml", []byte(eml), 0o600),
		os.WriteFile(base+".env", []byte(env), 0o600),
	)
	s.taken++
	return err
}
