package pickup

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filbert/pkg/proto"
)

func TestMessageIsKeptWhileTheSuiteIsDown(t *testing.T) {
	for name, text := range map[string]string{
		"small": "small\n", "large": strings.Repeat("large\n", 400_000),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			got := r.call("sendmail", "From: a@b\nSubject: x\n\n"+text, "-i", "-v", "-N", "never", "bob")
			r.want(got, exOK)
			if len(r.lies("maildrop")) != 1 || !strings.Contains(got.out, "kept") {
				t.Fatalf("maildrop holds %v, stdout %q", r.lies("maildrop"), got.out)
			}
			s := r.start(nil)
			r.want(r.call("pickup", "", drainFlag), exOK)
			m := s.one()
			if m.to() != "bob@here.example" || m.Envelope.Sender.String() != "ann@here.example" || !m.Complete {
				t.Errorf("from %s to %s, complete %v", m.Envelope.Sender, m.to(), m.Complete)
			}
			if want := "From: a@b\r\nSubject: x\r\n\r\n" + strings.ReplaceAll(text, "\n", "\r\n"); m.text != want {
				t.Errorf("text has %d octets, want %d", len(m.text), len(want))
			}
			if c := m.Envelope.Client; c.UID != int64(os.Getuid()) || c.Login != lookupUser(os.Getuid()).login {
				t.Errorf("client %q, uid %d: want the file's owner", c.Login, c.UID)
			}
			r.nothingLies()
		})
	}
}

// Nobody knew the suite's name when the message was left.
func TestKeptMessageIsQualifiedWhenTheNameIsKnown(t *testing.T) {
	r := newRig(t)
	r.site.name, r.site.sure = "localhost", false
	r.want(r.call("sendmail", hello, "bob"), exOK)
	r.site.name, r.site.sure = "mail.example", true
	s := r.start(nil)
	r.want(r.call("pickup", "", drainFlag), exOK)
	m := s.one()
	if m.to() != "bob@mail.example" || m.Envelope.Sender.String() != "ann@mail.example" {
		t.Errorf("from %s to %s", m.Envelope.Sender, m.to())
	}
}

func TestTemporaryRefusalKeepsTheMessage(t *testing.T) {
	for name, a := range map[string]*proto.Acceptance{"451": refuse(451, 3, 0), "refused call": nil} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.startWith(func(*proto.Submission) *proto.Acceptance { return a })
			r.want(r.call("sendmail", hello, "bob"), exOK)
			if len(r.lies("maildrop")) != 1 {
				t.Errorf("maildrop holds %v", r.lies("maildrop"))
			}
		})
	}
}

// Nobody answers on the socket: a suite that was killed.
func TestMessageIsKeptBesideADeadSocket(t *testing.T) {
	r := newRig(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(r.dir, "run/submit/cleanup"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	r.want(r.call("sendmail", hello, "bob"), exOK)
	if len(r.lies("maildrop")) != 1 {
		t.Errorf("maildrop holds %v", r.lies("maildrop"))
	}
}

// cleanup goes away in the middle of a large message.
func TestMessageIsKeptWhenTheSuiteDiesUnderIt(t *testing.T) {
	r := newRig(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(r.dir, "run/submit/cleanup"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.AcceptUnix()
		if err == nil {
			_, _ = c.Read(make([]byte, 1))
			c.Close()
		}
	}()
	r.want(r.call("sendmail", "From: a@b\n\n"+strings.Repeat("x\n", 1<<20), "bob"), exOK)
	if len(r.lies("maildrop")) != 1 {
		t.Errorf("maildrop holds %v", r.lies("maildrop"))
	}
}

func TestWithoutAMaildropTheCallerKeepsTheMessage(t *testing.T) {
	r := newRig(t)
	if err := os.Remove(filepath.Join(r.dir, "spool/maildrop")); err != nil {
		t.Fatal(err)
	}
	r.want(r.call("sendmail", hello, "bob"), exTempFail)
	r.want(r.call("sendmail", "From: a@b\n\n"+strings.Repeat("x\n", 1<<20), "bob"), exTempFail)
}

func TestDroppedSubmissionIsReadBackWholeOrNotAtAll(t *testing.T) {
	p := &pickup{opts: &options{}, user: user{uid: 5, login: "ann"}}
	whole := encodeDrop(p.submission(p.own(), nil))
	if m, err := decodeDrop(whole); err != nil || m.Envelope.Client.Login != "ann" {
		t.Fatalf("%v, %v", m, err)
	}
	for i := range whole {
		if _, err := decodeDrop(whole[:i]); err == nil {
			t.Errorf("%d of %d bytes are read", i, len(whole))
		}
	}
	if _, err := decodeDrop(append(whole, 0)); err == nil {
		t.Error("a byte too many is read")
	}
}

func FuzzDecodeDrop(f *testing.F) {
	p := &pickup{opts: &options{}, user: user{uid: 5, login: "ann"}}
	f.Add(encodeDrop(p.submission(p.own(), nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeDrop(b)
		if err != nil {
			return
		}
		if _, err := decodeDrop(encodeDrop(m)); err != nil {
			t.Fatalf("read, and not read again: %v", err)
		}
	})
}
