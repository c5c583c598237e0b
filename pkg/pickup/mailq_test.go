package pickup

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"filbert/pkg/proto"
)

// queue serves the place of qmgr's control socket.
func (r *rig) queue(h http.HandlerFunc) {
	r.Helper()
	l := r.controlSocket()
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(l) }()
	r.Cleanup(func() { s.Close() })
}

func (r *rig) controlSocket() net.Listener {
	r.Helper()
	l, err := net.Listen("unix", filepath.Join(r.dir, "run/control", proto.ControlQmgr))
	if err != nil {
		r.Fatal(err)
	}
	return l
}

func TestMailqLooksLikeMailq(t *testing.T) {
	r := newRig(t)
	arrived := time.Date(2026, 3, 1, 9, 30, 0, 0, time.Local)
	r.queue(func(w http.ResponseWriter, q *http.Request) {
		if q.Method != "GET" || q.URL.String() != "/v1/queue" {
			t.Errorf("%s %s", q.Method, q.URL)
		}
		for i, state := range []string{"deferred", "active", "held"} {
			fmt.Fprintf(w, `{"id":"0123456789%d","state":%q,"arrived":%q,"size":%d,"sender":%q,"reason":"host\u001b[2J is\ndown","recipients":[{"address":"a@x.example","state":"waiting"},{"address":"b@x.example","state":"waiting","reason":"other"}]}`+"\n",
				i, state, arrived.Format(time.RFC3339), 1500*(i+1), []string{"ann@here.example", "", "x@y"}[i])
			w.(http.Flusher).Flush() // chunks
		}
	})
	got := r.call("mailq", "")
	r.want(got, exOK)
	want := `-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------
01234567890     1500  Sun Mar  1 09:30:00 ann@here.example
                                         (host\x1b[2J is\ndown)
                                          a@x.example
                                         (other)
                                          b@x.example

01234567891*    3000  Sun Mar  1 09:30:00 MAILER-DAEMON
`
	if !strings.HasPrefix(got.out, want) {
		t.Errorf("got:\n%s\nwant:\n%s", got.out, want)
	}
	if !strings.Contains(got.out, "01234567892!    4500 ") || !strings.HasSuffix(got.out, "\n\n-- 9 Kbytes in 3 Requests.\n") {
		t.Errorf("got:\n%s", got.out)
	}
}

func TestMailqSaysThatTheQueueIsEmpty(t *testing.T) {
	r := newRig(t)
	r.queue(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	if got := r.call("sendmail", "", "-bp"); got.status != exOK || got.out != "Mail queue is empty\n" {
		t.Errorf("exit status %d, stdout %q", got.status, got.out)
	}
}

func TestMailqSaysWhyItShowsNothing(t *testing.T) {
	r := newRig(t)
	if got := r.call("mailq", ""); got.status != exUnavailable || !strings.Contains(got.err, "down") {
		t.Errorf("exit status %d, stderr %q", got.status, got.err)
	}
	r.queue(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"error":"no"}`)
	})
	if got := r.call("mailq", ""); got.status != exNoPerm || !strings.Contains(got.err, "administrators") {
		t.Errorf("exit status %d, stderr %q", got.status, got.err)
	}
}

func TestQueueRunIsOrdered(t *testing.T) {
	for args, want := range map[string]string{"-q": `"all":true`, "-qI00000000001": `"ids":["00000000001"]`} {
		r := newRig(t)
		var body []byte
		r.queue(func(w http.ResponseWriter, q *http.Request) {
			body, _ = io.ReadAll(q.Body)
			if q.Method != "POST" || q.URL.Path != "/v1/queue/retry" {
				t.Errorf("%s %s", q.Method, q.URL)
			}
			_, _ = io.WriteString(w, "{}")
		})
		r.want(r.call("sendmail", "", args), exOK)
		if !strings.Contains(string(body), want) {
			t.Errorf("%s: %s", args, body)
		}
	}
}

func TestQueueRunIsQuietForThoseWhoMayNot(t *testing.T) {
	r := newRig(t)
	r.queue(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	if got := r.call("sendmail", "", "-q"); got.status != exOK || got.out+got.err != "" {
		t.Errorf("exit status %d, %q", got.status, got.out+got.err)
	}
	r.want(r.call("sendmail", "", "-qI00000000001"), exNoPerm)
	r.want(r.call("sendmail", "", "-q30m"), exOK)
}

func TestBrokenAnswersAreErrors(t *testing.T) {
	const item = `{"id":"1","recipients":[]}` + "\n"
	for name, answer := range map[string]string{
		"nothing":       "",
		"not HTTP":      "220 mail.example ESMTP\r\n\r\n",
		"bad status":    "HTTP/1.1 abc OK\r\n\r\n",
		"no length":     "HTTP/1.1 200 OK\r\n\r\n" + item,
		"bad length":    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + item,
		"short":         "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + item,
		"cut chunk":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + item,
		"no last chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1b\r\n" + item + "\r\n",
		"bad chunk":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n" + item,
		"wrong chunk":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n" + item,
		"no JSON":       "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhey\n",
		"endless head":  "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 200),
		"endless line":  "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 1<<17),
		"bare LF":       "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			l := r.controlSocket()
			defer l.Close()
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, answer)
			}()
			if got := r.call("mailq", ""); got.status != exUnavailable || strings.Contains(got.out, "empty") {
				t.Errorf("exit status %d, stdout %q, stderr %q", got.status, got.out, got.err)
			}
		})
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\n{}\r\n0\r\n\r\n")
	f.Fuzz(func(t *testing.T, answer string) {
		whole, err := readAll(strings.NewReader(answer))
		slow, serr := readAll(iotest.OneByteReader(strings.NewReader(answer)))
		if whole != slow || (err == nil) != (serr == nil) {
			t.Fatalf("%q, %v and %q, %v", whole, err, slow, serr)
		}
	})
}

func readAll(r io.Reader) (string, error) {
	_, body, err := readAnswer(bufio.NewReader(r))
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(body)
	return string(b), err
}

func TestMailqWithoutPermission(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root is permitted everything")
	}
	r := newRig(t)
	l := r.controlSocket()
	defer l.Close()
	if err := os.Chmod(filepath.Join(r.dir, "run/control"), 0); err != nil {
		t.Fatal(err)
	}
	r.want(r.call("mailq", ""), exNoPerm)
	r.want(r.call("sendmail", "", "-q"), exOK)
}
