package script

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// perSession is how many messages a client of a load sends over one
// connection.
const perSession = 5

// load is some clients that send one message after the other, and remember
// which the server said it has.
type load struct {
	address  string
	to       string
	tolerant bool // what goes wrong is part of the case

	done    chan struct{}
	once    sync.Once
	clients sync.WaitGroup
	serial  atomic.Int64

	mu      sync.Mutex
	acked   []string
	trouble []string
}

func loadCommand(ts *testscript.TestScript, neg bool, args []string) {
	const help = "load start NAME [-to LISTENER] [-clients N] [-tolerant] RCPT | reach NAME N | stop NAME | check NAME DIR [-once]"
	usage(ts, !neg && len(args) >= 2, help)
	w, name := worldOf(ts), args[1]
	if args[0] == "start" {
		o, rest := options(ts, args[2:], "tolerant")
		usage(ts, len(rest) == 1, help)
		clients := 3
		if o["clients"] != "" {
			clients = number(ts, o["clients"])
		}
		w.loads[name] = startLoad(w.address(ts, o["to"]), rest[0], clients, o["tolerant"] != "")
		return
	}
	l := w.loads[name]
	usage(ts, l != nil, "there is no load "+name)
	switch args[0] {
	case "reach":
		usage(ts, len(args) == 3, help)
		want := number(ts, args[2])
		until(ts, func() (bool, string) {
			n := l.count()
			return n >= want, fmt.Sprintf("%d messages were taken, %d are wanted\n%s", n, want, l.complaints())
		})
	case "stop":
		l.stop()
		ts.Logf("%s: %d messages were taken\n%s", name, l.count(), l.complaints())
		if !l.tolerant && len(l.trouble) > 0 {
			ts.Fatalf("%d times something went wrong:\n%s", len(l.trouble), l.complaints())
		}
	case "check":
		usage(ts, len(args) >= 3, help)
		l.check(ts, args[2], len(args) > 3 && args[3] == "-once")
	default:
		usage(ts, false, help)
	}
}

func startLoad(address, to string, clients int, tolerant bool) *load {
	l := &load{address: address, to: to, tolerant: tolerant, done: make(chan struct{})}
	for range clients {
		l.clients.Go(l.client)
	}
	return l
}

func (l *load) stop() {
	l.once.Do(func() { close(l.done) })
	l.clients.Wait()
}

func (l *load) stopped() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

func (l *load) client() {
	for !l.stopped() {
		if err := l.session(); err != nil {
			l.mu.Lock()
			l.trouble = append(l.trouble, err.Error())
			l.mu.Unlock()
			// Whoever is refused comes back a little later.
			select {
			case <-l.done:
			case <-time.After(pollEvery):
			}
		}
	}
}

func (l *load) session() error {
	k, err := dial(l.address)
	if err != nil {
		return err
	}
	defer k.c.Close()
	for range perSession {
		token := fmt.Sprintf("token-%d-end", l.serial.Add(1))
		text := fmt.Sprintf("From: <load@client.test>\r\nTo: <%s>\r\nSubject: %s\r\n\r\n%s\r\n", l.to, token, strings.Repeat("A line of text.\r\n", 20))
		if _, err := k.send("load@client.test", []string{l.to}, []byte(text), 0); err != nil {
			return fmt.Errorf("%s: %w", token, err)
		}
		l.mu.Lock()
		l.acked = append(l.acked, token)
		l.mu.Unlock()
		if l.stopped() {
			break
		}
	}
	return k.quit()
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// complaints are the first of what went wrong.
func (l *load) complaints() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.trouble[:min(len(l.trouble), 20)], "\n")
}

var token = regexp.MustCompile(`(?m)^Subject: (token-\d+-end)`)

// check waits until every acknowledged message is in the Maildir.
func (l *load) check(ts *testscript.TestScript, dir string, once bool) {
	w := worldOf(ts)
	texts := func() []string { return w.mails(dir) }
	if name, ok := strings.CutPrefix(dir, "sink:"); ok {
		s := w.sinks[name]
		usage(ts, s != nil, "there is no sink "+name)
		texts = s.mails
	}
	var found map[string]int
	until(ts, func() (bool, string) {
		found = map[string]int{}
		for _, text := range texts() {
			if m := token.FindStringSubmatch(text); m != nil {
				found[m[1]]++
			}
		}
		var lost []string
		for _, t := range l.acked {
			if found[t] == 0 {
				lost = append(lost, t)
			}
		}
		return len(lost) == 0, fmt.Sprintf("%d of %d acknowledged messages are not in %s: %s", len(lost), len(l.acked), dir, strings.Join(lost[:min(len(lost), 10)], " "))
	})
	twice := 0
	for t, n := range found {
		if n > 1 {
			twice++
			ts.Logf("%s was delivered %d times", t, n)
		}
	}
	ts.Logf("%d messages were acknowledged, %d delivered more than once", len(l.acked), twice)
	if once && twice > 0 {
		ts.Fatalf("%d messages were delivered more than once", twice)
	}
}
