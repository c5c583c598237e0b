//go:build crash

package power

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/tests/crash/rig"
)

// patience is how long anything may take that has to come by itself.
const patience = 90 * time.Second

// site is an instance on a file system that can be filled.
type site struct {
	t      *testing.T
	dir    string // where the file system is mounted
	suite  *rig.Suite
	sink   *rig.Sink
	ledger *rig.Ledger
	by     *rig.By
}

// newSite makes an instance below dir and starts it.
func newSite(t *testing.T, dir string) *site {
	t.Helper()
	s := &site{t: t, dir: dir, ledger: &rig.Ledger{}}
	bin, err := rig.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if s.sink, err = rig.StartSink(1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.sink.Close)
	s.sink.Calm.Store(true)
	if s.suite, err = rig.Initialize(bin, filepath.Join(dir, "i"), s.sink.Address()); err != nil {
		t.Fatal(err)
	}
	s.by = &rig.By{Suite: s.suite, Ledger: s.ledger}
	t.Cleanup(s.end)
	if err := s.suite.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) end() {
	if s.t.Failed() {
		s.t.Logf("the end of the log:\n%s", rig.Tail(filepath.Join(s.suite.Dir, "log", "filbert.log"), 4000))
	}
	killAll(s.t, s.suite)
}

// killAll ends the whole suite at once, as the power would.
func killAll(t *testing.T, suite *rig.Suite) {
	t.Helper()
	list := suite.Running()
	for _, p := range list {
		_ = syscall.Kill(p.PID, syscall.SIGKILL)
	}
	err := rig.Until(10*time.Second, func() (bool, error) {
		for _, p := range list {
			if p.Alive() {
				return false, fmt.Errorf("%s lives on", p.Name)
			}
		}
		return true, nil
	})
	if err != nil {
		t.Error(err)
	}
}

// until waits for something that has to come.
func (s *site) until(what string, done func() (bool, error)) {
	s.t.Helper()
	if err := rig.Until(patience, done); err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

// accepted hands in a message that must be taken.
func (s *site) accepted(size int, to ...string) {
	s.t.Helper()
	if stage, reply := s.by.SMTP(size, "", to...); stage != "" {
		s.t.Fatalf("refused at %s: %s", stage, reply)
	}
}

// refusedAtMail waits until new mail is refused before its content is sent.
func (s *site) refusedAtMail() {
	s.t.Helper()
	s.until("no refusal at MAIL", func() (bool, error) {
		stage, reply := s.by.SMTP(100, "", "alice@home.test")
		if stage == "end" && !strings.HasPrefix(reply, "452 4.3.1") {
			s.t.Fatalf("at the end of the content: %s", reply)
		}
		return stage == "MAIL" && strings.HasPrefix(reply, "452 4.3.1"), fmt.Errorf("at %q: %s", stage, reply)
	})
}

// taken waits until new mail is taken again.
func (s *site) taken() {
	s.t.Helper()
	s.until("there is room and no mail is taken", func() (bool, error) {
		stage, reply := s.by.SMTP(100, "", "alice@home.test", "r1@far.test")
		return stage == "", fmt.Errorf("at %q: %s", stage, reply)
	})
}

// conclude waits until all is done, and judges it.
func (s *site) conclude() {
	s.t.Helper()
	s.until("the suite does not finish its work", func() (bool, error) {
		err := s.suite.Unfinished()
		return err == nil, err
	})
	if err := errors.Join(s.suite.Stop(), s.suite.Start()); err != nil {
		s.t.Error(err)
	}
	left, err := s.suite.Remains()
	if err != nil || len(left) > 0 {
		s.t.Errorf("left over: %v, %v", left, err)
	}
	copies, _, err := s.suite.Copies()
	if err != nil {
		s.t.Fatal(err)
	}
	v := rig.Judge(s.ledger.Attempts(), append(copies, rig.CopiesOf(s.sink.Taken())...),
		func(*rig.Attempt, rig.Copy, rig.Copy) (string, time.Time) {
			return "the disk did not take the note of the first", time.Time{}
		})
	s.t.Logf("%s", v)
	for _, x := range v.Violations {
		s.t.Errorf("%s\n%s", x.What, rig.LinesAbout(s.suite.Log(), x.Names...))
	}
}

// fill takes all bytes of the file system but so many.
func (s *site) fill(leave int64) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.dir, "filler"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 512; {
		if n := s.free(); n-int64(size) >= leave {
			_, err := f.Write(make([]byte, size))
			if err == nil {
				err = f.Sync()
			}
			if err == nil {
				continue
			}
		}
		size /= 2
	}
}

func (s *site) free() int64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &st); err != nil {
		s.t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// crowd takes all inodes of the file system.
func (s *site) crowd() {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Join(s.dir, "crowd"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	for n := 0; ; n++ {
		f, err := os.Create(filepath.Join(s.dir, "crowd", fmt.Sprint(n)))
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		if err != nil {
			s.t.Fatal(err)
		}
		f.Close()
	}
}

func (s *site) makeRoom() {
	s.t.Helper()
	if err := errors.Join(os.RemoveAll(filepath.Join(s.dir, "filler")), os.RemoveAll(filepath.Join(s.dir, "crowd"))); err != nil {
		s.t.Fatal(err)
	}
}

// small mounts a small file system.
func small(t *testing.T, kind string) string {
	t.Helper()
	needs(t)
	dir := shortDir(t)
	fs := filepath.Join(dir, "fs")
	if err := os.Mkdir(fs, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if kind == "tmpfs" {
		_, err = run("mount", "-t", "tmpfs", "-o", "size=32m,nr_inodes=1200", "tmpfs", fs)
	} else {
		needs(t, "mkfs.ext4")
		image := filepath.Join(dir, "image")
		if err = os.WriteFile(image, nil, 0o600); err == nil {
			err = os.Truncate(image, 48<<20)
		}
		if err == nil {
			_, err = run("mkfs.ext4", "-q", "-m", "0", "-N", "1200", image)
		}
		if err == nil {
			_, err = run("mount", "-o", "loop", image, fs)
		}
	}
	if err != nil {
		t.Skipf("no %s: %v", kind, err)
	}
	t.Cleanup(func() {
		if err := unmount(fs); err != nil {
			t.Error(err)
		}
	})
	return fs
}

var kinds = []string{"tmpfs", "ext4"}

// incoming are the files of messages under way.
func (s *site) incoming() []string {
	list, _ := filepath.Glob(filepath.Join(s.suite.Dir, "spool", "incoming", "*"))
	return slices.DeleteFunc(list, func(path string) bool { return strings.Contains(filepath.Base(path), ".") })
}

func TestFullDiskIs452BeforeTheContentAndLosesNothing(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t, small(t, kind))
			s.sink.Away.Store(true)
			for i := range 5 {
				s.accepted(3000*i, "alice@home.test")
				s.accepted(3000*i, "r1@far.test", "bob@home.test")
			}
			s.accepted(200<<10, "r2@far.test")
			s.fill(512 << 10) // the reserve is 1 MB
			s.refusedAtMail()
			// A message of this machine's own may still fit into the journal,
			// whose segments are there in advance.
			if status, said := s.by.Sendmail(100, "alice@home.test"); status != 0 && status != 75 {
				t.Errorf("sendmail: exit status %d: %s", status, said)
			}
			s.fill(0)
			if status, said := s.by.Sendmail(4<<20, "alice@home.test"); status != 75 {
				t.Errorf("sendmail: exit status %d: %s", status, said)
			}
			// Retries happen, and can't be noted.
			tries := s.sink.Refused()
			s.until("nothing is tried on a full disk", func() (bool, error) {
				n := s.sink.Refused() - tries
				return n > 10, fmt.Errorf("%d refusals", n)
			})
			s.refusedAtMail()
			s.sink.Away.Store(false)
			s.makeRoom()
			s.taken()
			s.conclude()
		})
	}
}

func TestAMessageThatDoesNotFitIsRefusedWholeAndLeavesNothing(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t, small(t, kind))
			s.accepted(100, "alice@home.test")
			s.fill(6 << 20)
			s.until("a size that does not fit is not refused at once", func() (bool, error) {
				stage, reply := s.by.SMTP(100, "SIZE=13000000", "alice@home.test")
				return stage == "MAIL" && strings.HasPrefix(reply, "452 "), fmt.Errorf("at %q: %s", stage, reply)
			})
			if stage, reply := s.by.SMTP(12<<20, "", "alice@home.test"); stage != "end" || !strings.HasPrefix(reply, "452 ") {
				t.Errorf("without its size: refused at %q: %s", stage, reply)
			}
			if status, said := s.by.Sendmail(12<<20, "alice@home.test"); status != 75 {
				t.Errorf("sendmail: exit status %d: %s", status, said)
			}
			if left := s.incoming(); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
			s.accepted(100, "alice@home.test") // a small one still fits
			s.conclude()
		})
	}
}

// What was accepted before the disk was full waits in the journal until there is
// room for its mailbox, and be it only for the note that it waits.
func TestADeliveryThatMeetsAFullDiskIsMadeLater(t *testing.T) {
	for _, kind := range kinds {
		for what, fill := range map[string]func(*site){
			"bytes":  func(s *site) { s.fill(0) },
			"inodes": (*site).crowd,
		} {
			t.Run(kind+"/"+what, func(t *testing.T) {
				t.Parallel() // what could not be filed is tried again after half a minute
				s := newSite(t, small(t, kind))
				s.accepted(100, "alice@home.test") // brings up local-deliver
				s.until("the first message is not delivered", func() (bool, error) {
					err := s.suite.Unfinished()
					return err == nil, err
				})
				s.pause(syscall.SIGSTOP)
				for range 5 {
					s.accepted(20<<10, "alice@home.test", "r1@far.test")
				}
				fill(s)
				s.pause(syscall.SIGCONT)
				s.until("the full disk was not noticed", func() (bool, error) {
					// The log may have met it too.
					return strings.Contains(s.suite.Log(), "file a deferred message") || s.free() < 512, errors.New("no word in the log")
				})
				s.refusedAtMail()
				s.makeRoom()
				s.taken()
				s.conclude()
			})
		}
	}
}

// pause stops and continues local-deliver.
func (s *site) pause(sig syscall.Signal) {
	s.t.Helper()
	n := 0
	for _, p := range s.suite.Running() {
		if p.Name == "local-deliver" {
			n++
			if err := syscall.Kill(p.PID, sig); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	if n != 1 {
		s.t.Fatalf("%d local-deliver run", n)
	}
}

// A machine whose disk is full must still come up, to deliver what it has and so
// make room.
func TestTheSuiteStartsOnAFullDisk(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t, small(t, kind))
			s.sink.Away.Store(true)
			s.accepted(100, "alice@home.test")
			s.accepted(100, "r1@far.test")
			s.until("nothing is deferred", func() (bool, error) {
				n := s.sink.Refused()
				return n > 0, fmt.Errorf("%d refusals", n)
			})
			s.fill(0)
			killAll(t, s.suite)
			s.fill(0)
			if err := s.suite.Start(); err != nil {
				t.Fatal(err)
			}
			s.sink.Away.Store(false)
			s.until("what waits is not delivered", func() (bool, error) {
				n := len(s.sink.Taken())
				return n > 0, fmt.Errorf("%d taken", n)
			})
			s.refusedAtMail()
			s.makeRoom()
			s.taken()
			s.conclude()
		})
	}
}
