package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/durable/crashfs"
	"filbert/pkg/outcome"
	"filbert/pkg/queueid"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

var when = time.Date(2026, 3, 1, 9, 30, 0, 123456000, time.UTC)

const one queueid.ID = 1<<40 + 77

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newSpool(t *testing.T) (*Spool, *crashfs.FS) {
	t.Helper()
	f := crashfs.New()
	must(t, Prepare(f))
	return New(f), f
}

func line(verb Verb, recipient int, text string) LogLine {
	l := LogLine{Time: when, Verb: verb, Recipient: recipient, Address: untrusted.From(fmt.Sprintf("user%d@example.org", recipient))}
	l.Outcome.Class, _ = verb.class()
	l.Outcome.Text = untrusted.From(text)
	return l
}

func message(id queueid.ID) *Message {
	body := bytes.Repeat(fmt.Appendf(nil, "body of %s\r\n", id), 100)
	return &Message{
		ID:       id,
		Envelope: fmt.Appendf(nil, "envelope of %s", id),
		Content:  []byte("Subject: x\r\n\r\n"),
		Body:     io.NewSectionReader(bytes.NewReader(body), 0, int64(len(body))),
		Log:      []LogLine{line(Delivered, 0, "fine"), line(DeferredV, 1, "later")},
	}
}

func wholeContent(id queueid.ID) string {
	m := message(id)
	b, _ := io.ReadAll(m.Body)
	return string(m.Content) + string(b)
}

// logOf reads a log: the good lines, and how many were refused.
func logOf(t *testing.T, s *Spool, q Queue, id queueid.ID) (lines []LogLine, refused int) {
	t.Helper()
	for l, err := range s.Log(q, id) {
		switch {
		case errors.Is(err, ErrBadLine):
			refused++
		case err != nil:
			t.Fatal(err)
		default:
			lines = append(lines, l)
		}
	}
	return lines, refused
}

// checkMessage says whether a message is whole in q.
func checkMessage(s *Spool, q Queue, id queueid.ID) error {
	e, err := s.Open(q, id)
	if err != nil {
		return err
	}
	defer e.Close()
	if err := e.Check(); err != nil {
		return err
	}
	b, err := io.ReadAll(e.Content())
	if err != nil {
		return err
	}
	if string(b) != wholeContent(id) || string(e.Envelope) != string(message(id).Envelope) {
		return errors.New("not what was filed")
	}
	return nil
}

func ids(t *testing.T, s *Spool, q Queue) []queueid.ID {
	t.Helper()
	var got []queueid.ID
	for id, err := range s.Scan(q) {
		must(t, err)
		got = append(got, id)
	}
	return got
}

func TestFiledMessageIsOnDisk(t *testing.T) {
	s, f := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	s = New(f.Restart(crashfs.Nothing))
	must(t, checkMessage(s, Deferred, one))
	if lines, refused := logOf(t, s, Deferred, one); !slices.Equal(lines, message(one).Log) || refused != 0 {
		t.Errorf("log %v, %d refused", lines, refused)
	}
	if got := ids(t, s, Deferred); !slices.Equal(got, []queueid.ID{one}) {
		t.Errorf("scan %v", got)
	}
}

func TestFilingTwiceIsRefused(t *testing.T) {
	s, f := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	if err := s.File(Deferred, message(one)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second: %v", err)
	}
	must(t, checkMessage(s, Deferred, one))
	must(t, f.Remove(logName(Deferred, one)))
	if err := s.File(Deferred, message(one)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("without a log: %v", err)
	}
	must(t, checkMessage(s, Deferred, one))
}

func TestFullDiskLeavesNothingOfAMessage(t *testing.T) {
	for room := int64(0); room < 2000; room += 97 {
		s, f := newSpool(t)
		f.Limit(room+1, 0)
		err := s.File(Deferred, message(one))
		if err == nil {
			continue
		}
		if !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("error %v", err)
		}
		for seed := range uint64(10) {
			g := f.Restart(seed)
			for e, err := range g.ReadDir("deferred/" + one.Shard()) {
				if err == nil {
					t.Fatalf("with %d bytes of room %s was left", room, e.Name)
				}
			}
		}
		f.Limit(0, 0)
		must(t, s.File(Deferred, message(one)))
	}
}

func TestFullInodesLeaveNothingOfAMessage(t *testing.T) {
	for inodes := int64(6); inodes < 9; inodes++ {
		s, f := newSpool(t)
		f.Limit(0, inodes)
		if err := s.File(Deferred, message(one)); !errors.Is(err, ErrFull) {
			t.Fatalf("%d inodes: %v", inodes, err)
		}
		f.Limit(0, 0)
		must(t, s.File(Deferred, message(one)))
	}
}

func TestFailedFlushIsNotFiled(t *testing.T) {
	s, f := newSpool(t)
	f.FailFlush(func(string) bool { return true })
	if err := s.File(Deferred, message(one)); !errors.Is(err, syscall.EIO) {
		t.Errorf("error %v", err)
	}
	f.FailFlush(nil)
	if got := ids(t, s, Deferred); len(got) > 0 {
		t.Errorf("left %v", got)
	}
}

func TestShortBodyIsNotFiled(t *testing.T) {
	s, _ := newSpool(t)
	m := message(one)
	m.Body = io.NewSectionReader(strings.NewReader("short"), 0, 100)
	if err := s.File(Deferred, m); err == nil {
		t.Error("a body that ends early was filed")
	}
}

func TestEachDamageIsNoticed(t *testing.T) {
	s, f := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	name := messageName(Deferred, one)
	whole, err := durable.ReadFile(f, name, 1<<20)
	must(t, err)
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 0x20
		must(t, durable.WriteFile(f, name, filePerm, b))
		if err := checkMessage(s, Deferred, one); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	for n := range whole {
		must(t, durable.WriteFile(f, name, filePerm, whole[:n]))
		if err := checkMessage(s, Deferred, one); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestMessageUnderAnotherNameIsDamaged(t *testing.T) {
	s, f := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	must(t, f.Link(messageName(Deferred, one), shardDir(Deferred, one)+"/"+(one+1).String()))
	if (one + 1).Shard() != one.Shard() {
		t.Fatal("the test wants one shard")
	}
	if _, err := s.Open(Deferred, one+1); !errors.Is(err, ErrDamaged) {
		t.Errorf("open: %v", err)
	}
}

func TestAppendedLineIsOnDisk(t *testing.T) {
	s, f := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	must(t, s.AppendLog(Deferred, one, []LogLine{line(Failed, 1, "no")}))
	lines, refused := logOf(t, New(f.Restart(crashfs.Nothing)), Deferred, one)
	if want := append(message(one).Log, line(Failed, 1, "no")); !slices.Equal(lines, want) || refused != 0 {
		t.Errorf("log %v, %d refused", lines, refused)
	}
}

func TestAppendOnAFullDiskLeavesTheLogAsItWas(t *testing.T) {
	s, f := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	f.Limit(1, 0)
	if err := s.AppendLog(Deferred, one, []LogLine{line(Failed, 1, "no")}); !errors.Is(err, ErrFull) {
		t.Errorf("append: %v", err)
	}
	lines, refused := logOf(t, s, Deferred, one)
	if !slices.Equal(lines, message(one).Log) || refused != 0 {
		t.Errorf("log %v, %d refused", lines, refused)
	}
}

// Removing is what makes room.
func TestRemoveWorksOnAFullDisk(t *testing.T) {
	s, f := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	f.Limit(1, 0)
	must(t, s.Remove(Deferred, one, when))
	after := New(f.Restart(crashfs.Nothing))
	if _, err := after.Open(Deferred, one); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
}

func TestAppendSurvivesAFailedFlushByAFreshFile(t *testing.T) {
	s, f := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	f.FailFlush(func(name string) bool { return strings.HasSuffix(name, ".log") })
	must(t, s.AppendLog(Deferred, one, []LogLine{line(Failed, 1, "no")}))
	f.FailFlush(nil)
	lines, _ := logOf(t, New(f.Restart(crashfs.Nothing)), Deferred, one)
	if len(lines) != 3 {
		t.Errorf("log %v", lines)
	}
}

func TestTornLineIsRefusedAndTheNextIsWhole(t *testing.T) {
	good, err := encodeLines(nil, []LogLine{line(Failed, 1, "no")})
	must(t, err)
	for n := range good {
		s, f := newSpool(t)
		must(t, s.File(Deferred, message(one)))
		h, err := f.OpenFile(logName(Deferred, one), os.O_RDWR|os.O_APPEND, 0)
		must(t, err)
		_, err = h.Write(good[:n])
		must(t, err)
		must(t, s.AppendLog(Deferred, one, []LogLine{line(Delivered, 1, "yes")}))
		lines, refused := logOf(t, s, Deferred, one)
		if len(lines) < 3 || lines[len(lines)-1].Verb != Delivered || len(lines)+refused > 4 {
			t.Fatalf("torn after %d bytes: %v, %d refused", n, lines, refused)
		}
	}
}

func TestMissingLogStartsAnew(t *testing.T) {
	s, f := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	must(t, f.Remove(logName(Deferred, one)))
	must(t, s.AppendLog(Deferred, one, []LogLine{line(Failed, 1, "no")}))
	if lines, _ := logOf(t, New(f.Restart(crashfs.Nothing)), Deferred, one); len(lines) != 1 {
		t.Errorf("log %v", lines)
	}
}

func TestMovedMessageIsOnDisk(t *testing.T) {
	s, f := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	must(t, s.Move(one, Deferred, Hold))
	s = New(f.Restart(crashfs.Nothing))
	must(t, checkMessage(s, Hold, one))
	if lines, _ := logOf(t, s, Hold, one); len(lines) != 2 {
		t.Errorf("log %v", lines)
	}
	if got := ids(t, s, Deferred); len(got) > 0 {
		t.Errorf("still deferred: %v", got)
	}
	if err := s.Move(one, Deferred, Hold); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("second move: %v", err)
	}
}

func TestRemovedMessageLeavesNothing(t *testing.T) {
	s, f := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	must(t, s.Remove(Deferred, one, when))
	for e := range f.ReadDir(shardDir(Deferred, one)) {
		t.Errorf("%s is left", e.Name)
	}
	must(t, s.Remove(Deferred, one, when)) // as after a crash in the middle
}

func TestQuarantineKeepsTheFiles(t *testing.T) {
	s, f := newSpool(t)
	for range 2 {
		must(t, s.File(Deferred, message(one)))
		must(t, s.Quarantine(Deferred, one))
	}
	n := 0
	for e, err := range f.Restart(crashfs.Nothing).ReadDir(corruptDir) {
		must(t, err)
		if !strings.Contains(e.Name, one.String()) {
			t.Errorf("name %s", e.Name)
		}
		n++
	}
	if n != 4 {
		t.Errorf("%d files were kept", n)
	}
}

func TestScanPassesOverWhatIsNoMessage(t *testing.T) {
	s, f := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	for _, name := range []string{
		"deferred/stray", shardDir(Deferred, one) + "/x", messageName(Deferred, one) + ".new",
		shardDir(Deferred, one) + "/" + strings.ToLower(one.String()),
		shardDir(Deferred, one) + "/" + (one + 1<<15).String(),
	} {
		must(t, durable.WriteFile(f, name, filePerm, nil))
	}
	if got := ids(t, s, Deferred); !slices.Equal(got, []queueid.ID{one}) {
		t.Errorf("scan %v", got)
	}
}

func TestHostileTextStaysInItsLine(t *testing.T) {
	s, _ := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	var all [256]byte
	for i := range all {
		all[i] = byte(i)
	}
	nasty := []string{
		string(all[:]), "a\n2026-03-01T09:30:00.123456Z delivered 1 \"x\" #00000000\n", "\"", "\\", "\r\n", "\x00",
		" #12345678", "‮evil", "\xff\xfe", "code=250", `" text="`,
	}
	var want []LogLine
	for _, text := range nasty {
		l := LogLine{Time: when, Verb: Failed, Recipient: 3, Address: untrusted.From(text), Outcome: outcome.Outcome{
			Class: outcome.Failed, Kind: "refused", Code: 550, Status: smtp.Status{Class: 5, Subject: 1, Detail: 1},
			Text: untrusted.From(text), Transport: "smtp", Remote: text[:min(len(text), maxWord)], RemoteIP: "::1", TLS: "TLSv1.3",
			Relayed: true, DSNPassed: true,
		}}
		want = append(want, l)
	}
	must(t, s.AppendLog(Deferred, one, want))
	lines, refused := logOf(t, s, Deferred, one)
	if !slices.Equal(lines[2:], want) || refused != 0 {
		t.Errorf("read %v, %d refused", lines[2:], refused)
	}
}

func TestUnknownLinesAreRefusedAndReported(t *testing.T) {
	s, f := newSpool(t)
	must(t, s.File(Deferred, message(one)))
	b, err := durable.ReadFile(f, logName(Deferred, one), 1<<20)
	must(t, err)
	bad := "hello\n\n" + strings.Repeat("x", 3*maxLine) + "\n" + strings.Replace(string(b), "delivered", "delivereD", 1)
	must(t, durable.WriteFile(f, logName(Deferred, one), filePerm, []byte(bad)))
	lines, refused := logOf(t, s, Deferred, one)
	if len(lines) != 1 || refused != 4 {
		t.Errorf("%d lines, %d refused", len(lines), refused)
	}
}

func TestLinesThatCannotBeReadBackAreNotWritten(t *testing.T) {
	for name, l := range map[string]LogLine{
		"verb":      {Time: when, Verb: "exploded"},
		"class":     {Time: when, Verb: Delivered, Outcome: outcome.Outcome{Class: outcome.Failed}},
		"recipient": {Time: when, Verb: Finished, Recipient: -2},
		"time":      {Verb: Finished},
		"address":   {Time: when, Verb: Finished, Address: untrusted.From(strings.Repeat("x", maxAddress+1))},
		"status":    {Time: when, Verb: Failed, Outcome: outcome.Outcome{Class: outcome.Failed, Status: smtp.Status{Class: 9}}},
		"code":      {Time: when, Verb: Failed, Outcome: outcome.Outcome{Class: outcome.Failed, Code: 1000}},
	} {
		if _, err := appendLine(nil, &l); !errors.Is(err, ErrBadLine) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLineOfAnOutcomeCanAlwaysBeWritten(t *testing.T) {
	long := strings.Repeat("é", 5000)
	l := LineOf(when, 0, untrusted.From("a@example.org"), outcome.Outcome{
		Class: outcome.Deferred, Kind: outcome.Kind(long), Code: -1, Status: smtp.Status{Class: 7},
		Text: untrusted.From(long), Transport: long, Remote: long, RemoteIP: long, TLS: long,
	})
	b, err := appendLine(nil, &l)
	must(t, err)
	if _, err := parseLine(strings.TrimSuffix(string(b), "\n"), new([]byte)); err != nil {
		t.Error(err)
	}
}

func TestLogIsText(t *testing.T) {
	l := LineOf(when, 2, untrusted.From("a@example.org"), outcome.Outcome{
		Class: outcome.Deferred, Kind: outcome.Refused, Code: 451, Status: smtp.Status{Class: 4, Subject: 4, Detail: 1},
		Transport: "smtp", Remote: "mx.example.org", Text: untrusted.From("try later"),
	})
	b, err := appendLine(nil, &l)
	must(t, err)
	want := `2026-03-01T09:30:00.123456Z deferred 2 "a@example.org" kind="refused" code=451 status=4.4.1 ` +
		`transport="smtp" remote="mx.example.org" text="try later" #`
	if !strings.HasPrefix(string(b), want) || len(b) != len(want)+9 {
		t.Errorf("%s", b)
	}
}

func TestDroppedMessageIsOnDisk(t *testing.T) {
	_, f := newSpool(t)
	id, err := Drop(f, []byte("envelope"), io.NewSectionReader(strings.NewReader("content"), 0, 7))
	must(t, err)
	g := f.Restart(crashfs.Nothing)
	var got []queueid.ID
	for id, err := range Drops(g) {
		must(t, err)
		got = append(got, id)
	}
	if !slices.Equal(got, []queueid.ID{id}) {
		t.Fatalf("drops %v", got)
	}
	e, err := OpenDrop(g, id)
	must(t, err)
	b, err := io.ReadAll(e.Content())
	must(t, err)
	if string(e.Envelope) != "envelope" || string(b) != "content" {
		t.Errorf("%q, %q", e.Envelope, b)
	}
	must(t, RemoveDrop(g, id))
	if _, err := OpenDrop(g, id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after removal: %v", err)
	}
}

func TestMessageOnTheRealDisk(t *testing.T) {
	d, err := durable.Open(t.TempDir())
	must(t, err)
	defer d.Close()
	must(t, Prepare(d))
	s := New(d)
	must(t, s.File(Deferred, message(one)))
	must(t, s.AppendLog(Deferred, one, []LogLine{line(Warned, WholeMessage, "")}))
	must(t, s.Move(one, Deferred, Hold))
	must(t, checkMessage(s, Hold, one))
	e, err := s.Open(Hold, one)
	must(t, err)
	defer e.Close()
	b := make([]byte, e.ContentSize)
	if _, err := e.OS().ReadAt(b, e.ContentOffset); err != nil || string(b) != wholeContent(one) {
		t.Errorf("by descriptor: %v", err)
	}
	if uid, err := e.Owner(); err != nil || int(uid) != os.Getuid() {
		t.Errorf("owner %d, %v", uid, err)
	}
	must(t, s.Remove(Hold, one, when))
	rep, err := s.Sweep()
	if err != nil || rep.Messages != 0 || len(rep.Strange) > 0 {
		t.Errorf("sweep %+v, %v", rep, err)
	}
}
