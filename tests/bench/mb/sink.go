package main

import (
	"bufio"
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// sink is a server that counts what arrives, and keeps nothing.
type sink struct {
	deferring atomic.Bool
	ln        net.Listener

	mu sync.Mutex // guards st
	st counts
}

// what is to be told apart in a run: messages, or recipients too.
type detail int

const (
	countMessages detail = iota
	countRecipients
)

// counts is what has arrived since the last reset.
type counts struct {
	run         string
	detail      detail
	seen        map[int]bool
	seenRcpt    map[string]bool
	refused     map[string]bool
	msgs, dups  int // messages in all, and those of a number seen before
	uniq        int
	rcpts       int // recipients of complete transactions
	urcpts      int
	urefused    int
	conns       int
	foreign     int // messages of another run
	first, last time.Time
	lastRefused time.Time
	latency     []float64
	onMessage   func(at time.Time)
}

func newSink(addr string) (*sink, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &sink{ln: ln}
	s.reset("", countMessages)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s, nil
}

// reset begins a run; messages of another run count as foreign ("" = none does).
func (s *sink) reset(run string, d detail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st = counts{run: run, detail: d, seen: map[int]bool{}, seenRcpt: map[string]bool{}, refused: map[string]bool{}}
}

// refuse makes the sink answer every RCPT with 450, or none.
func (s *sink) refuse(on bool) { s.deferring.Store(on) }

func (s *sink) onMessage(f func(time.Time)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st.onMessage = f
}

func (s *sink) counts() counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.st
}

// wait polls until cond holds; the times that count are those noted at arrival.
func (s *sink) wait(cond func(*counts) bool, timeout time.Duration) bool {
	end := time.Now().Add(timeout)
	for {
		s.mu.Lock()
		ok := cond(&s.st)
		s.mu.Unlock()
		if ok {
			return true
		}
		if time.Now().After(end) {
			return false
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// transaction is what a connection of the sink has been told so far.
type transaction struct {
	n     int
	rcpts []string
}

func (t *transaction) reset() { t.n, t.rcpts = 0, t.rcpts[:0] }

func (s *sink) serve(c net.Conn) {
	defer c.Close()
	s.mu.Lock()
	s.st.conns++
	s.mu.Unlock()
	r := bufio.NewReaderSize(c, 16384)
	w := bufio.NewWriterSize(c, 2048)
	w.WriteString("220 sink.test ESMTP mb\r\n")
	var t transaction
	for {
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		if bytes.HasPrefix(line, []byte("QUIT")) {
			w.WriteString("221 2.0.0 bye\r\n")
			w.Flush()
			return
		}
		if !s.obey(line, &t, r, w) {
			return
		}
	}
}

// obey carries out one command; false ends the connection.
func (s *sink) obey(line []byte, t *transaction, r *bufio.Reader, w *bufio.Writer) bool {
	if len(line) < 4 {
		line = []byte("none")
	}
	switch string(bytes.ToUpper(line[:4])) {
	case "EHLO":
		w.WriteString("250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 52428800\r\n")
	case "HELO", "NOOP":
		w.WriteString("250 2.0.0 ok\r\n")
	case "RSET", "MAIL":
		t.reset()
		w.WriteString("250 2.0.0 ok\r\n")
	case "RCPT":
		w.WriteString(s.rcpt(line, t))
	case "DATA":
		if t.n == 0 {
			w.WriteString("503 5.5.1 no valid recipients\r\n")
			return true
		}
		w.WriteString("354 go\r\n")
		if w.Flush() != nil {
			return false
		}
		run, seq, nano, err := readData(r)
		if err != nil {
			return false
		}
		s.arrived(run, seq, nano, t)
		t.reset()
		w.WriteString("250 2.0.0 ok\r\n")
	default:
		w.WriteString("500 5.5.2 what\r\n")
	}
	return true
}

func (s *sink) rcpt(line []byte, t *transaction) string {
	if s.deferring.Load() {
		now, a := time.Now(), address(line)
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.st.refused[a] {
			s.st.refused[a] = true
			s.st.urefused++
		}
		s.st.lastRefused = now
		return "450 4.2.0 try again later\r\n"
	}
	t.n++
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.st.detail == countRecipients {
		t.rcpts = append(t.rcpts, address(line))
	}
	return "250 2.1.5 ok\r\n"
}

func address(line []byte) string {
	i, j := bytes.IndexByte(line, '<'), bytes.IndexByte(line, '>')
	if i < 0 || j < i {
		return string(line)
	}
	return string(line[i+1 : j])
}

// readData reads to the dot and finds the mark.
func readData(r *bufio.Reader) (run string, seq int, nano int64, err error) {
	seq = -1
	header := true
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return "", 0, 0, err
		}
		if len(line) == 3 && line[0] == '.' && line[1] == '\r' {
			return run, seq, nano, nil
		}
		switch {
		case !header:
		case len(line) <= 2:
			header = false
		case bytes.HasPrefix(line, []byte(mark)):
			run, seq, nano = parseMark(line[len(mark):])
		}
	}
}

func (s *sink) arrived(run string, seq int, nano int64, t *transaction) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.st
	if st.run != "" && run != st.run {
		st.foreign++
		return
	}
	if st.msgs == 0 {
		st.first = now
	}
	st.msgs++
	st.rcpts += t.n
	if st.seen[seq] {
		st.dups++
	} else {
		st.seen[seq] = true
		st.uniq++
	}
	for _, r := range t.rcpts {
		if !st.seenRcpt[r] {
			st.seenRcpt[r] = true
			st.urcpts++
		}
	}
	st.last = now
	st.latency = append(st.latency, float64(now.UnixNano()-nano)/1e6)
	if st.onMessage != nil {
		st.onMessage(now)
	}
}
