package script

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// A mapServer is a program that answers sendmail's socketmap protocol. Its rules
// are lines
//
//	MAP KEY REPLY
//
// of which the first that fits decides; * is any map or key. REPLY is what is
// said ("OK ann@home.test", "NOTFOUND ", "TEMP later"), drop (close), hang (say
// nothing, until the client closes), or raw with octets (Go escapes). Without a
// rule there is no such key. NAME/asked has a line for each question.
type mapServer struct {
	l     net.Listener
	asked *os.File
	ended sync.WaitGroup

	mu    sync.Mutex
	rules [][3]string
	conns map[net.Conn]bool
}

func mapCommand(ts *testscript.TestScript, neg bool, args []string) {
	const help = "map NAME [-at IP | -unix PATH] FILE"
	usage(ts, !neg && len(args) > 1, help)
	w, name := worldOf(ts), args[0]
	o, rest := options(ts, args[1:])
	usage(ts, len(rest) == 1, help)
	var rules [][3]string
	for line := range strings.Lines(read(ts, rest[0])) {
		if f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3); len(f) == 3 && f[0] != "#" {
			rules = append(rules, [3]string(f))
		}
	}
	if m := w.maps[name]; m != nil {
		m.mu.Lock()
		m.rules = rules
		m.mu.Unlock()
		return
	}
	l, err := listenFor(ts, w, o)
	ts.Check(err)
	dir := filepath.Join(w.dir, name)
	ts.Check(os.MkdirAll(dir, 0o700))
	out, err := os.OpenFile(filepath.Join(dir, "asked"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	m := &mapServer{l: l, asked: out, rules: rules, conns: map[net.Conn]bool{}}
	m.ended.Go(m.accept)
	w.maps[name] = m
}

func mapStop(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "map-stop NAME")
	w := worldOf(ts)
	m := w.maps[args[0]]
	usage(ts, m != nil, "there is no map server "+args[0])
	m.close()
	delete(w.maps, args[0])
}

func (m *mapServer) close() {
	m.l.Close()
	m.mu.Lock()
	for c := range m.conns {
		c.Close()
	}
	m.mu.Unlock()
	m.ended.Wait()
	m.asked.Close()
}

func (m *mapServer) accept() {
	for {
		c, err := m.l.Accept()
		if err != nil {
			return
		}
		m.mu.Lock()
		m.conns[c] = true
		m.mu.Unlock()
		m.ended.Go(func() {
			m.serve(c)
			c.Close()
			m.mu.Lock()
			delete(m.conns, c)
			m.mu.Unlock()
		})
	}
}

// serve answers the questions of one connection.
func (m *mapServer) serve(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		question, err := netstring(r)
		if err != nil {
			return
		}
		switch said := m.decide(question); {
		case said == "drop":
			return
		case said == "hang":
			_, _ = io.Copy(io.Discard, r) // its end is what is waited for
			return
		case strings.HasPrefix(said, "raw "):
			said, _ = unescape(said[4:]) // a mistake shows in what is received
			_, err = io.WriteString(c, said)
		default:
			_, err = fmt.Fprintf(c, "%d:%s,", len(said), said)
		}
		if err != nil {
			return
		}
	}
}

func (m *mapServer) decide(question string) string {
	name, key, _ := strings.Cut(question, " ")
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprintln(m.asked, question)
	for _, r := range m.rules {
		if (r[0] == "*" || r[0] == name) && (r[1] == "*" || r[1] == key) {
			return r[2]
		}
	}
	return "NOTFOUND "
}

// netstring reads "5:hello,".
func netstring(r *bufio.Reader) (string, error) {
	size, err := r.ReadString(':')
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(size, ":"))
	if err != nil || n < 0 || n > 10_000 {
		return "", fmt.Errorf("a netstring of %q octets", size)
	}
	b := make([]byte, n+1)
	if _, err := io.ReadFull(r, b); err != nil {
		return "", err
	}
	return string(b[:n]), nil
}
