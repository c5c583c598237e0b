package localdeliver

import (
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

func TestRoomIsWhatBothLimitsLeave(t *testing.T) {
	for _, c := range []struct {
		l    limits
		u    usage
		size int64
		want bool
	}{
		{limits{}, usage{1 << 60, 1 << 60}, 1 << 50, true},
		{limits{bytes: 100}, usage{bytes: 90}, 10, true},
		{limits{bytes: 100}, usage{bytes: 90}, 11, false},
		{limits{bytes: 100}, usage{bytes: 200}, 0, false},
		{limits{messages: 2}, usage{bytes: 1 << 50, messages: 1}, 1 << 40, true},
		{limits{messages: 2}, usage{messages: 2}, 1, false},
		{limits{bytes: 100, messages: 2}, usage{bytes: 100, messages: 1}, 1, false},
	} {
		if got := c.l.room(c.u, c.size); got != c.want {
			t.Errorf("%+v with %+v and %d: %v", c.l, c.u, c.size, got)
		}
	}
}

func TestTheNearerLimitWarns(t *testing.T) {
	l := limits{bytes: 1000, messages: 10, warn: 80}
	for _, c := range []struct {
		u    usage
		want bool
	}{
		{usage{799, 7}, false}, {usage{800, 0}, true}, {usage{0, 8}, true}, {usage{5000, 1}, true}, {usage{}, false},
	} {
		if got := l.warns(c.u); got != c.want {
			t.Errorf("%+v: %v (%d %%)", c.u, got, l.percent(c.u))
		}
	}
	l.warn = 0
	if l.warns(usage{5000, 500}) {
		t.Error("mailbox_warn = 0 warns")
	}
}

func containsText(done *proto.LocalDone, words string) bool {
	return strings.Contains(done.Outcome.Text.ForTerminal(), words)
}

// fullJob is a delivery to a mailbox that is full by what when_full says.
func fullJob(whenFull string) *delivery {
	t := settings.Transport{Driver: "maildir", WhenFull: whenFull}.Complete()
	return &delivery{childJob: testJob(t, testMessage), t: t}
}

func TestWhatAFullMailboxMeansIsConfigured(t *testing.T) {
	now := time.Date(2026, 10, 5, 10, 0, 0, 0, time.UTC)
	days := func(n int) time.Time { return now.Add(-time.Duration(n) * 24 * time.Hour) }
	for _, c := range []struct {
		rule   string
		read   time.Time
		class  outcome.Class
		status string
	}{
		{"", days(400), outcome.Deferred, "4.2.2"},
		{"defer", days(400), outcome.Deferred, "4.2.2"},
		{"bounce", days(0), outcome.Failed, "5.2.2"},
		{"defer-if-read", days(179), outcome.Deferred, "4.2.2"},
		{"defer-if-read", days(181), outcome.Failed, "5.2.2"},
		{"defer-if-read", time.Time{}, outcome.Deferred, "4.2.2"}, // nobody can tell
		{"deliver", days(400), outcome.Deferred, "4.2.2"},         // the system's quota
	} {
		d := fullJob(c.rule)
		o := d.writeOutcome("write", fmt.Errorf("write: %w", syscall.EDQUOT), func() time.Time { return c.read }, now)
		wantOutcome(t, &proto.LocalDone{Outcome: *o}, c.class, outcome.Quota, c.status)
	}
}

// A full disk is the machine's trouble: no rule about mailboxes returns mail for it.
func TestOnlyAQuotaCountsAsAFullMailbox(t *testing.T) {
	for _, err := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, errLocked, fs.ErrNotExist, errShort,
		fmt.Errorf("%w: %w", errShort, syscall.EDQUOT)} {
		o := fullJob("bounce").writeOutcome("write", err, unknown, time.Now())
		if o.Class != outcome.Deferred || o.Kind == outcome.Quota {
			t.Errorf("%v: %v %s", err, o.Class, o.Kind)
		}
	}
}

func TestFailuresAreToldApartInKindAndCode(t *testing.T) {
	for _, c := range []struct {
		err    error
		kind   outcome.Kind
		status string
		words  string
	}{
		{syscall.EDQUOT, outcome.Quota, "4.2.2", "disk quota"},
		{syscall.ENOSPC, outcome.DiskFull, "4.3.1", "the file system is full"},
		{errLocked, outcome.Locked, "4.2.0", "has the mailbox locked"},
		{fs.ErrNotExist, outcome.HomeMissing, "4.2.1", "is not there"},
		{syscall.ESTALE, outcome.HomeMissing, "4.2.1", "file server is away"},
		{syscall.ENOTCONN, outcome.HomeMissing, "4.2.1", "file server is away"},
		{syscall.EROFS, outcome.Permission, "4.2.0", "can only be read"},
		{syscall.EACCES, outcome.Permission, "4.2.0", "may not be written"},
		{syscall.EIO, outcome.Internal, "4.2.0", "input/output error"},
	} {
		done := &proto.LocalDone{Outcome: *fileOutcome("write", fmt.Errorf("open x: %w", c.err))}
		wantOutcome(t, done, outcome.Deferred, c.kind, c.status)
		if !containsText(done, c.words) {
			t.Errorf("%v: %s", c.err, show(done))
		}
	}
}

func TestSizesAreForPeople(t *testing.T) {
	for n, want := range map[int64]string{17: "17 bytes", 1024: "1 KB", 1536: "1.5 KB", 2 << 30: "2 GB"} {
		if got := inUnits(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}
