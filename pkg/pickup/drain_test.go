package pickup

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/proto"
	"filbert/pkg/spool"
)

// leave drops a message as a sendmail would with the suite down, and gives its path.
func (r *rig) leave(args ...string) string {
	r.Helper()
	r.want(r.call("sendmail", hello, args...), exOK)
	return filepath.Join(r.dir, "spool/maildrop", r.lies("maildrop")[0])
}

func TestDrainHandsInTheOldestFirst(t *testing.T) {
	r := newRig(t)
	for _, m := range []struct {
		to  string
		age time.Duration
	}{{"third", time.Minute}, {"first", 3 * time.Minute}, {"second", 2 * time.Minute}} {
		before := strings.Join(r.lies("maildrop"), " ")
		r.want(r.call("sendmail", hello, m.to), exOK)
		for _, name := range r.lies("maildrop") {
			if !strings.Contains(before, name) {
				at := r.now.Add(-m.age)
				if err := os.Chtimes(filepath.Join(r.dir, "spool/maildrop", name), at, at); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	s := r.start(nil)
	r.want(r.call("pickup", "", drainFlag), exOK)
	var order []string
	for _, m := range s.all() {
		order = append(order, m.to())
	}
	if got := strings.Join(order, " "); got != "first@here.example second@here.example third@here.example" {
		t.Errorf("order %q", got)
	}
}

func TestDrainKeepsWhatIsRefusedForTheTimeBeing(t *testing.T) {
	r := newRig(t)
	r.leave("bob")
	r.want(r.call("pickup", "", drainFlag), exTempFail) // nobody there
	r.start(refuse(452, 3, 1))
	r.want(r.call("pickup", "", drainFlag), exTempFail)
	if len(r.lies("maildrop")) != 1 || len(r.lies("corrupt")) != 0 {
		t.Errorf("maildrop %v, corrupt %v", r.lies("maildrop"), r.lies("corrupt"))
	}
}

// Its sender had exit status 0.
func TestDrainTellsTheSenderOfARefusal(t *testing.T) {
	r := newRig(t)
	r.leave("-f", "ann@home.example", "bob")
	s := r.startWith(func(m *proto.Submission) *proto.Acceptance {
		if m.Envelope.Sender.IsNull() {
			return accepted
		}
		return refuse(552, 3, 4)
	})
	r.want(r.call("pickup", "", drainFlag), exDataErr)
	all := s.all()
	if len(all) != 2 || all[1].to() != "ann@home.example" {
		t.Fatalf("%d submissions", len(all))
	}
	for _, want := range []string{"552 5.3.4", "bob@here.example", "Subject: hi", "Auto-Submitted: auto-replied"} {
		if !strings.Contains(all[1].text, want) {
			t.Errorf("notice lacks %q: %s", want, all[1].text)
		}
	}
	if strings.ContainsAny(strings.ReplaceAll(all[1].text, "\r\n", ""), "\r\n\x1b") {
		t.Errorf("notice has controls: %q", all[1].text)
	}
	if len(r.lies("maildrop")) != 0 || len(r.lies("corrupt")) != 1 {
		t.Errorf("maildrop %v, corrupt %v", r.lies("maildrop"), r.lies("corrupt"))
	}
}

func TestDrainNeverAnswersTheNullSender(t *testing.T) {
	r := newRig(t)
	r.leave("-f", "<>", "bob")
	s := r.start(refuse(552, 3, 4))
	r.want(r.call("pickup", "", drainFlag), exDataErr)
	s.one()
	if len(r.lies("corrupt")) != 1 {
		t.Errorf("corrupt %v", r.lies("corrupt"))
	}
}

func TestNoticeThatIsDeferredKeepsTheMessage(t *testing.T) {
	r := newRig(t)
	r.leave("bob")
	r.startWith(func(m *proto.Submission) *proto.Acceptance {
		if m.Envelope.Sender.IsNull() {
			return refuse(451, 3, 0)
		}
		return refuse(552, 3, 4)
	})
	r.want(r.call("pickup", "", drainFlag), exTempFail)
	if len(r.lies("maildrop")) != 1 {
		t.Errorf("maildrop %v", r.lies("maildrop"))
	}
}

func TestDrainSurvivesWhateverLiesInMaildrop(t *testing.T) {
	const id = "00000000001"
	for _, c := range []struct {
		name string
		put  func(r *rig, path string) error
	}{
		{"empty file", func(_ *rig, path string) error { return os.WriteFile(path, nil, 0o640) }},
		{"garbage", func(_ *rig, path string) error {
			return os.WriteFile(path, []byte(strings.Repeat("FILBMSG1", 100)), 0o640)
		}},
		{"symbolic link", func(_ *rig, path string) error { return os.Symlink("/etc/passwd", path) }},
		{"link to nowhere", func(_ *rig, path string) error { return os.Symlink("/nowhere", path) }},
		{"directory", func(_ *rig, path string) error { return os.Mkdir(path, 0o700) }},
		{"fifo", func(_ *rig, path string) error { return syscall.Mkfifo(path, 0o640) }},
		{"hard link", func(r *rig, path string) error {
			return os.Link(r.leaveAside(), path)
		}},
		{"other name", func(_ *rig, path string) error { return os.WriteFile(path+"~\x1b[2J\n", nil, 0o640) }},
		{"small letters", func(_ *rig, path string) error {
			return os.WriteFile(filepath.Join(filepath.Dir(path), "0000000000a"), nil, 0o640)
		}},
		{"another's id", func(r *rig, path string) error { return os.Rename(r.leave("x"), path) }},
		{"cut short", func(r *rig, path string) error { return cut(r.leave("x"), -1) }},
		{"changed", func(r *rig, path string) error { return flip(r.leave("x")) }},
		{"endless", func(_ *rig, path string) error {
			if err := os.WriteFile(path, nil, 0o640); err != nil {
				return err
			}
			return os.Truncate(path, 1<<40)
		}},
		{"envelope of something else", func(r *rig, _ string) error { return r.dropRaw([]byte("no envelope")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			if err := c.put(r, filepath.Join(r.dir, "spool/maildrop", id)); err != nil {
				t.Fatal(err)
			}
			r.want(r.call("sendmail", hello, "good"), exOK)
			s := r.start(nil)
			got := r.call("pickup", "", drainFlag)
			r.want(got, exDataErr)
			if m := s.one(); m.to() != "good@here.example" {
				t.Errorf("handed in for %s", m.to())
			}
			if len(r.lies("corrupt")) != 1 {
				t.Errorf("corrupt %v", r.lies("corrupt"))
			}
			r.nothingLies()
			if strings.Contains(got.err, "\x1b") {
				t.Errorf("stderr %q", got.err)
			}
		})
	}
}

// leaveAside drops a message and moves it out of maildrop.
func (r *rig) leaveAside() string {
	r.Helper()
	aside := filepath.Join(r.dir, "aside")
	if err := os.Rename(r.leave("x"), aside); err != nil {
		r.Fatal(err)
	}
	return aside
}

func (r *rig) dropRaw(envelope []byte) error {
	dir, err := durable.Open(filepath.Join(r.dir, "spool"))
	if err != nil {
		return err
	}
	defer dir.Close()
	_, err = spool.Drop(dir, envelope, section([]byte("x\r\n")))
	return err
}

func cut(path string, by int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, info.Size()+by)
}

func flip(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[len(b)-3] ^= 1
	return os.WriteFile(path, b, 0o640)
}

func TestUnfinishedFilesGoWhenNobodyCanBeWritingThem(t *testing.T) {
	r := newRig(t)
	for name, age := range map[string]time.Duration{"young.new": time.Minute, "old.new": 2 * unfinishedAge} {
		path := filepath.Join(r.dir, "spool/maildrop", name)
		if err := os.WriteFile(path, []byte("half"), 0o640); err != nil {
			t.Fatal(err)
		}
		at := r.now.Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	r.want(r.call("pickup", "", drainFlag), exOK)
	if got := r.lies("maildrop"); len(got) != 1 || got[0] != "young.new" {
		t.Errorf("maildrop %v", got)
	}
}

// A writer links the whole file to its name and has not yet removed the other.
func TestMessageInItsWritersHandIsLeftAlone(t *testing.T) {
	r := newRig(t)
	path := r.leave("bob")
	if err := os.Link(path, path+unfinished); err != nil {
		t.Fatal(err)
	}
	s := r.start(nil)
	r.want(r.call("pickup", "", drainFlag), exOK)
	if len(s.all()) != 0 || len(r.lies("maildrop")) != 2 {
		t.Fatalf("%d submissions, maildrop %v", len(s.all()), r.lies("maildrop"))
	}
	if err := os.Remove(path + unfinished); err != nil {
		t.Fatal(err)
	}
	r.want(r.call("pickup", "", drainFlag), exOK)
	s.one()
	r.nothingLies()
}

func TestDroppedEnvelopeCannotNameAnotherUser(t *testing.T) {
	r := newRig(t)
	r.user = user{uid: 4242, login: "boss"}
	r.leave("bob")
	s := r.start(nil)
	r.want(r.call("pickup", "", drainFlag), exOK)
	if c := s.one().Envelope.Client; c.UID != int64(os.Getuid()) || c.Login == "boss" {
		t.Errorf("client %q, uid %d", c.Login, c.UID)
	}
}
