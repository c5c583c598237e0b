package smtpclient

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filbert/pkg/proto"
	"filbert/pkg/smtpclient/smtptest"
)

// inFile puts the content of a job into a file, behind something else.
func inFile(t testing.TB, job *proto.RemoteJob, content string) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(name, []byte("others"+content+"more"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	job.Content = proto.Content{Offset: 6, Size: int64(len(content))}
	return f
}

// bigContent is some 10 MB with a dot at the beginning of many lines.
func bigContent() string {
	var b strings.Builder
	b.WriteString("Subject: big\r\n\r\n")
	for i := 0; b.Len() < 10<<20; i++ {
		fmt.Fprintf(&b, ".%d%s\r\n", i, strings.Repeat("x", i%97))
	}
	return b.String()
}

func TestContentArrivesOctetByOctet(t *testing.T) {
	big := bigContent()
	extensions := map[string][]string{
		"DATA":                {"8BITMIME"},
		"pipelined DATA":      {"8BITMIME", "PIPELINING"},
		"BDAT":                {"8BITMIME", "CHUNKING", "PIPELINING"},
		"BDAT, not pipelined": {"8BITMIME", "CHUNKING"},
	}
	contents := map[string]string{
		"plain":         testContent,
		"dots":          "Subject: x\r\n\r\n.\r\n..\r\n.x\r\n\r\n.\r\n",
		"empty":         "",
		"only header":   "Subject: x\r\n",
		"8-bit and NUL": "Subject: x\r\n\r\n\xff\xfe\x00\x80\r\n",
		"big":           big,
	}
	for extName, ext := range extensions {
		for name, content := range contents {
			for _, file := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/file=%v", extName, name, file), func(t *testing.T) {
					sink := smtptest.Drink(t, smtptest.Options{Extensions: ext})
					job := newJob(to(sink.Addr()))
					job.Has8Bit = true
					var files []*os.File
					if file {
						files = append(files, inFile(t, job, content))
					} else {
						setContent(job, content)
					}
					want(t, newClient(t).Deliver(context.Background(), job, files).Outcomes, "delivered 250 2.0.0")
					got := sink.Mails()[0].Content
					if sha256.Sum256([]byte(got)) != sha256.Sum256([]byte(content)) {
						t.Errorf("%d octets became %d", len(content), len(got))
					}
				})
			}
		}
	}
}

func TestBareNewlineNeverLeaves(t *testing.T) {
	for _, content := range []string{
		"Subject: x\r\n\r\na\n.\r\nMAIL FROM:<evil@evil.test>\r\n",
		"Subject: x\r\n\r\na\r.\r\n", "Subject: x\r\n\r\na\r\r\n", "\n", "\r", "x\r\n\r",
	} {
		for _, ext := range []string{"8BITMIME", "CHUNKING"} {
			for _, file := range []bool{false, true} {
				sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{ext}})
				job := newJob(to(sink.Addr()))
				var files []*os.File
				if file {
					files = append(files, inFile(t, job, content))
				} else {
					setContent(job, content)
				}
				want(t, newClient(t).Deliver(context.Background(), job, files).Outcomes, "failed content 5.6.0")
				if n := sink.Count(); n != 0 {
					t.Errorf("%q by %s: %d messages arrived", content, ext, n)
				}
			}
		}
	}
}

func TestNewlinesAreSeenAcrossBlocks(t *testing.T) {
	check := func(s string, cut int) error {
		var n newlines
		for _, part := range []string{s[:cut], "", s[cut:]} {
			if err := n.check([]byte(part)); err != nil {
				return err
			}
		}
		return n.finish()
	}
	for _, tt := range []struct {
		text string
		ok   bool
	}{
		{"", true}, {"a", true}, {"a\r\n", true}, {"\r\n\r\n", true}, {"a\r\nb\r\nc", true},
		{"\r", false}, {"\n", false}, {"\r\r\n", false}, {"\r\n\n", false}, {"\n\r", false}, {"a\rb\r\n", false},
		{"a\r\n\rb\n", false}, {"a\r\nb\n\r\n", false},
	} {
		for cut := range len(tt.text) + 1 {
			if err := check(tt.text, cut); (err == nil) != tt.ok {
				t.Errorf("%q cut at %d: %v", tt.text, cut, err)
			}
		}
	}
}

func TestInlineBDATIsOneChunk(t *testing.T) {
	srv := smtptest.Play(t, hello("CHUNKING", "PIPELINING")+`
		C: MAIL FROM:<sender@from.test>
		C: RCPT TO:<rcpt@to.test>
		S: 250 ok
		S: 250 ok
		C: BDAT 25 LAST
		BDAT 25
		S: 250 2.0.0 ok`)
	want(t, deliver(t, newClient(t), newJob(to(srv.Addr()))), "delivered 250 2.0.0")
}

func TestNoBDATWithoutRecipients(t *testing.T) {
	srv := smtptest.Play(t, hello("CHUNKING", "PIPELINING")+`
		C: MAIL FROM:<sender@from.test>
		C: RCPT TO:<rcpt@to.test>
		S: 250 ok
		S: 550 5.1.1 who?
		C: RSET
		C: MAIL FROM:<sender@from.test>
		C: RCPT TO:<rcpt@to.test>
		S: 250 ok
		S: 250 ok
		S: 250 ok
		C: BDAT 25 LAST
		BDAT 25
		S: 250 2.0.0 ok`)
	c := newClient(t)
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "failed rcpt 550 5.1.1")
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "delivered 250 2.0.0")
}

func TestRefusedChunkEndsTheMessage(t *testing.T) {
	for _, tt := range []struct{ reply, want string }{
		{"552 5.3.4 too big", "failed data 552 5.3.4"},
		{"452 4.3.1 full", "deferred data 452 4.3.1"},
		{"354 what", "deferred protocol 354 4.0.0"},
	} {
		srv := smtptest.Play(t, hello("CHUNKING")+fmt.Sprintf(`
			C: MAIL FROM:<sender@from.test>
			S: 250 ok
			C: RCPT TO:<rcpt@to.test>
			S: 250 ok
			C: BDAT %d
			BDAT %d
			S: %s`, chunkSize, chunkSize, tt.reply))
		job := newJob(to(srv.Addr()))
		f := inFile(t, job, bigContent())
		c := newClient(t)
		want(t, c.Deliver(context.Background(), job, []*os.File{f}).Outcomes, tt.want)
		c.Close()
		srv.Wait()
	}
}

func TestTruncatedFileIsNeverDelivered(t *testing.T) {
	for _, ext := range []string{"HELP", "CHUNKING"} {
		for _, size := range []int64{100, 1 << 20, 20 << 20} {
			sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{ext}})
			job := newJob(to(sink.Addr()))
			f := inFile(t, job, testContent)
			job.Content.Size = size
			want(t, newClient(t).Deliver(context.Background(), job, []*os.File{f}).Outcomes, "deferred internal 4.3.0")
			if sink.Count() != 0 {
				t.Errorf("%s, size %d: half a message arrived", ext, size)
			}
		}
	}
}

func TestTruncatedFileIsNeverConverted(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{"HELP"}})
	job := newJob(to(sink.Addr()))
	job.Has8Bit = true
	f := inFile(t, job, "Subject: x\r\n\r\ngrüße\r\n")
	job.Content.Size = 1 << 20
	want(t, newClient(t).Deliver(context.Background(), job, []*os.File{f}).Outcomes, "deferred internal 4.3.0")
	if sink.Count() != 0 {
		t.Error("half a message arrived")
	}
}

func TestReplyBeforeTheEndOfContentIsNotItsReply(t *testing.T) {
	for name, script := range map[string]string{
		"behind 354":        pipelined("250 ok", "250 ok", "250 ok", "") + `S~ 354 go\r\n250 2.0.0 ok\r\n` + "\nDRAIN",
		"while it was sent": pipelined("250 ok", "250 ok", "250 ok", "354 go") + "C: *\nS: 250 2.0.0 ok\nDRAIN",
	} {
		t.Run(name, func(t *testing.T) {
			srv := smtptest.Play(t, script)
			job := newJob(to(srv.Addr()), "a@to.test", "b@to.test")
			f := inFile(t, job, bigContent())
			want(t, newClient(t).Deliver(context.Background(), job, []*os.File{f}).Outcomes, "deferred protocol 4.5.0", "deferred protocol 4.5.0")
		})
	}
}

func TestContentIsNotSentForWhoHasGone(t *testing.T) {
	srv := smtptest.Play(t, pipelined("250 ok", "250 ok", "250 ok", "354 go"))
	ctx, cancel := context.WithCancel(context.Background())
	c := newClient(t)
	c.dial = func(_ context.Context, tg *target) (conn net.Conn, err error) {
		conn, err = dial(ctx, tg)
		cancel()
		return conn, err
	}
	outs := c.Deliver(ctx, newJob(to(srv.Addr()), "a@to.test", "b@to.test"), nil).Outcomes
	want(t, outs, "deferred internal 4.3.0", "deferred internal 4.3.0")
	srv.Wait()
	if len(srv.Content()) != 0 {
		t.Error("content was sent")
	}
}

func TestDescriptorsMustMatch(t *testing.T) {
	job := newJob(to(nobody(t)))
	job.Content = proto.Content{Size: 10}
	want(t, newClient(t).Deliver(context.Background(), job, nil).Outcomes, "deferred internal 4.3.0")
}

func FuzzNewlines(f *testing.F) {
	f.Add([]byte("a\r\nb\r\n"), 3)
	f.Add([]byte("a\r\r\n\n"), 2)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		cut = max(0, min(cut, len(b)))
		var n newlines
		err := n.check(b[:cut])
		if err == nil {
			err = n.check(b[cut:])
		}
		if err == nil {
			err = n.finish()
		}
		plain := bytes.ReplaceAll(b, []byte("\r\n"), nil)
		if clean := !bytes.ContainsAny(plain, "\r\n"); clean != (err == nil) {
			t.Errorf("%q: %v", b, err)
		}
	})
}
