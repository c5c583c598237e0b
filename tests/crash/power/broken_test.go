//go:build crash

package power

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"filbert/tests/crash/rig"
)

// A disk that dies under the suite: nothing is acknowledged that was not flushed,
// and what was acknowledged before is there when the disk is back.
func TestADyingDiskAcknowledgesNothing(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{"flushes fail": syscall.SIGUSR1, "writes fail": syscall.SIGUSR2} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t, deviceSize)
			s := newSite(t, d.root())
			for i := range 10 {
				s.accepted(5000*i, "alice@home.test", "r1@far.test")
			}
			s.accepted(200<<10, "alice@home.test")
			d.signal(sig)
			before := s.ledger.Acknowledged()
			codes := map[string]int{}
			for i := range 20 {
				stage, reply := s.by.SMTP(5000*i, "", "alice@home.test", "r1@far.test")
				codes[fmt.Sprintf("%s: %.9s", stage, reply)]++
				if stage == "" {
					t.Errorf("a message was acknowledged on a dead disk: %s", reply)
				}
				if strings.HasPrefix(reply, "5") {
					t.Errorf("a message was refused for good because of a dead disk: %s", reply)
				}
			}
			if status, said := s.by.Sendmail(100, "alice@home.test"); status == 0 {
				t.Errorf("sendmail acknowledged a message on a dead disk: %s", said)
			}
			if n := s.ledger.Acknowledged(); n != before {
				t.Errorf("%d messages were acknowledged on a dead disk", n-before)
			}
			t.Logf("what clients heard: %v", codes)
			s.doesNotSpin()
			killAll(t, s.suite)
			d.signal(syscall.SIGHUP) // as if it had been replaced by its mirror
			d.unmount()
			d.mount()
			if err := s.suite.Start(); err != nil {
				t.Fatal(err)
			}
			s.taken()
			s.conclude()
		})
	}
}

// doesNotSpin counts what the suite says of its trouble: a handful of lines for
// each of the messages, not a flood.
func (s *site) doesNotSpin() {
	s.t.Helper()
	n := strings.Count(s.suite.Log(), "\n")
	if n > 1500 {
		s.t.Errorf("%d lines of log:\n%s", n, rig.Tail(s.suite.Dir+"/log/filbert.log", 3000))
	}
}
