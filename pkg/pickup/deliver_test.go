package pickup

import (
	"strings"
	"testing"
	"testing/iotest"

	"errors"
	"io"
	"os"

	"filbert/pkg/proto"
)

func TestExitStatusFollowsTheAnswer(t *testing.T) {
	for _, c := range []struct {
		code, subject, detail int
		status                int
	}{
		{250, 0, 0, exOK},
		{552, 3, 4, exDataErr},
		{550, 6, 0, exDataErr},
		{553, 1, 3, exNoUser},
		{554, 4, 6, exUnavailable},
		{550, 7, 1, exNoPerm},
		{554, 3, 0, exUnavailable},
		{452, 3, 1, exTempFail},
	} {
		r := newRig(t)
		s := r.start(refuse(c.code, c.subject, c.detail))
		got := r.call("sendmail", hello, "bob")
		if got.status != c.status {
			t.Errorf("%d %d.%d: exit status %d, want %d", c.code, c.subject, c.detail, got.status, c.status)
		}
		if c.status != exOK && !strings.Contains(got.err, "No \\x1b[31mway") {
			t.Errorf("%d: stderr %q", c.code, got.err)
		}
		s.one()
		r.nothingLies()
	}
}

func TestVerboseNamesTheMessage(t *testing.T) {
	r := newRig(t)
	r.start(nil)
	if got := r.call("sendmail", hello, "-v", "bob"); !strings.Contains(got.out, accepted.ID.String()) {
		t.Errorf("stdout %q", got.out)
	}
}

// Sizes around each limit, from memory over a frame to a pipe and a file.
func TestContentOfAnySizeArrivesWhole(t *testing.T) {
	head := "From: a@b\r\n\r\n"
	for _, size := range []int{0, 1000, proto.InlineMax - len(head), proto.InlineMax - len(head) + 2, memoryMax - 1, memoryMax + 1, 3*memoryMax + 4321} {
		body := strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n", size/64+1)[:size]
		body = strings.TrimRight(body, "\r\n")
		if body != "" {
			body += "\r\n"
		}
		r := newRig(t)
		s := r.start(nil)
		r.want(r.callFrom("sendmail", iotest.HalfReader(strings.NewReader(head+body)), "-i", "bob"), exOK)
		if got := s.one().text; got != head+body {
			t.Errorf("size %d: %d octets arrived", len(body), len(got))
		}
		r.nothingLies()
	}
}

func TestRefusedLargeMessageLeavesNothing(t *testing.T) {
	r := newRig(t)
	s := r.start(refuse(552, 3, 4))
	r.want(r.call("sendmail", "From: a@b\n\n"+strings.Repeat("x\n", 2<<20), "bob"), exDataErr)
	s.one()
	r.nothingLies()
}

func TestHalfAMessageIsNotSent(t *testing.T) {
	r := newRig(t)
	s := r.start(nil)
	in := io.MultiReader(strings.NewReader("From: a@b\n\nhalf"), iotest.ErrReader(errors.New("disk on fire")))
	r.want(r.callFrom("sendmail", in, "bob"), exIOErr)
	if len(s.all()) != 0 {
		t.Error("a message was sent")
	}
}

func TestTheUserIsNamedBesideAnySender(t *testing.T) {
	r := newRig(t)
	s := r.start(nil)
	r.want(r.call("sendmail", hello, "-f", "boss@corp.example", "bob"), exOK)
	c := s.one().Envelope.Client
	if c.Login != "ann" || c.UID != int64(os.Getuid()) {
		t.Errorf("client %q, uid %d", c.Login, c.UID)
	}
}

func TestUnknownUserIsCalledByNumber(t *testing.T) {
	passwd := "root:x:0:0:root,,,:/root:/bin/sh\nann:x:1000:1000:& Other,room 1:/home/ann:/bin/sh\nbroken\nx:x:1001\n"
	for uid, want := range map[int]user{
		1000: {1000, "ann", "Ann Other"}, 0: {0, "root", "root"}, 1001: {uid: 1001, login: "#1001"}, 7: {uid: 7, login: "#7"},
	} {
		if got := findUser(strings.NewReader(passwd), uid); got != want {
			t.Errorf("uid %d: %+v", uid, got)
		}
	}
	r := newRig(t)
	r.user = user{uid: 7, login: "#7"}
	s := r.start(nil)
	r.want(r.call("sendmail", hello, "bob"), exOK)
	if got := s.one().Envelope.Sender.String(); got != "#7@here.example" {
		t.Errorf("sender %q", got)
	}
}

func TestAddressBeyondASCIIAsksForSMTPUTF8(t *testing.T) {
	for to, want := range map[string]bool{"jörg@x.example": true, "bob@x.example": false} {
		r := newRig(t)
		s := r.start(nil)
		r.want(r.call("sendmail", "From: a@b\nSubject: grüße\n\n", to), exOK)
		if got := s.one().Envelope.UTF8; got != want {
			t.Errorf("%s: UTF8 %v", to, got)
		}
	}
}

func TestVerifyOnlyParses(t *testing.T) {
	r := newRig(t)
	got := r.call("sendmail", "", "-bv", "bob", "a@b.example")
	r.want(got, exOK)
	if !strings.Contains(got.out, "bob@here.example ... ") || !strings.Contains(got.out, "a@b.example ... ") {
		t.Errorf("stdout %q", got.out)
	}
	r.want(r.call("sendmail", "", "-bv", "a@"), exDataErr)
}

func TestNewaliasesHasNothingToDo(t *testing.T) {
	r := newRig(t)
	for _, got := range []result{r.call("newaliases", ""), r.call("sendmail", "", "-bi"), r.call("sendmail", "", "-I")} {
		if got.status != exOK || !strings.Contains(got.out, "there is no ") {
			t.Errorf("exit status %d, stdout %q", got.status, got.out)
		}
	}
	if err := os.WriteFile(r.dir+"/etc/aliases", []byte("a: b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := r.call("newaliases", ""); got.status != exOK || !strings.Contains(got.out, "is read directly") {
		t.Errorf("exit status %d, stdout %q", got.status, got.out)
	}
}

func TestNameOfTheSiteIsReadAsData(t *testing.T) {
	r := newRig(t)
	for text, want := range map[string]string{"Mail.Example\n": "mail.example", "x y\n": "", "": "", "a@b": "", "mail.example\nother\n": "mail.example"} {
		if err := os.WriteFile(r.dir+"/run/submit/name", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := findSite(r.dir)
		if err != nil {
			t.Fatal(err)
		}
		if want == "" && s.sure || want != "" && (s.name != want || !s.sure) || s.name == "" {
			t.Errorf("%q: name %q, sure %v", text, s.name, s.sure)
		}
	}
	if err := os.Remove(r.dir + "/run/submit/name"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.dir+"/etc/mailname", []byte("guess.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, _ := findSite(r.dir); s.name != "guess.example" || s.sure {
		t.Errorf("name %q, sure %v", s.name, s.sure)
	}
}
