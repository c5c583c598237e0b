//go:build crash

package power

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filbert/tests/crash/rig"
)

const (
	deviceSize = 96 << 20
	// killsUnderway is how many processes are killed while the device is
	// recorded: what a killed process leaves in memory alone, others act upon,
	// and the power cut then forgets.
	killsUnderway = 12
)

// story is one recorded life of an instance.
type story struct {
	t       *testing.T
	suite   *rig.Suite
	sink    *rig.Sink
	ledger  *rig.Ledger
	device  *device
	records []record
	begin   int // the first record after the start

	states, unmountable int
	found, duplicates   int
}

// TestAcknowledgedMailSurvivesPowerCuts goes back to random moments.
func TestAcknowledgedMailSurvivesPowerCuts(t *testing.T) {
	seed := uint64(number(t, "SEED", int(time.Now().UnixNano()%1_000_000)))
	states := number(t, "STATES", 100)
	s := live(t, seed)
	rnd := rand.New(rand.NewPCG(seed, 3))
	began := time.Now()
	r := newReplay(s.records, deviceSize)
	for _, p := range s.moments(rnd, states) {
		s.check(r, p, rnd)
		if t.Failed() && s.states-s.unmountable > 3 {
			break
		}
	}
	t.Logf("SEED=%d STATES=%d: %d states in %s, %d could not be mounted; %d copies found in all, %d of them duplicates",
		seed, states, s.states, time.Since(began).Round(time.Second), s.unmountable, s.found, s.duplicates)
	if s.unmountable*20 > s.states {
		t.Errorf("%d of %d states could not even be mounted", s.unmountable, s.states)
	}
}

// live records the life: load, kills, a calm end.
func live(t *testing.T, seed uint64) *story {
	t.Helper()
	s := &story{t: t, ledger: &rig.Ledger{}, device: newDevice(t, deviceSize)}
	bin, err := rig.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if s.sink, err = rig.StartSink(seed); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.sink.Close)
	if s.suite, err = rig.Initialize(bin, filepath.Join(s.device.root(), "i"), s.sink.Address()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { killAll(t, s.suite) })
	s.ledger.OnAck = func(token string) { s.device.note("ack %s", token) }
	s.sink.OnTaken = func(m rig.Taken) { s.device.note("taken %d", m.Serial) }
	if err := s.suite.Start(); err != nil {
		t.Fatal(err)
	}
	s.device.note("begin")
	load := rig.StartLoad(s.suite, s.ledger, seed, rig.Clients{Sessions: 5, Programs: 1, Think: 80 * time.Millisecond, Lean: true})
	killer := rig.NewKiller(s.suite, s.ledger, seed, t.Logf)
	killer.Run(killsUnderway)
	load.Stop()
	for _, what := range killer.Trouble {
		t.Error(what)
	}
	s.sink.Calm.Store(true)
	killAll(t, s.suite)
	s.ledger.OnAck, s.sink.OnTaken = nil, nil
	s.device.detach()
	if s.records, err = readRecords(s.device.record()); err != nil {
		t.Fatal(err)
	}
	s.begin = slices.IndexFunc(s.records, func(r record) bool { return r.kind == 'M' })
	flushes := 0
	for _, r := range s.records[s.begin:] {
		if r.kind == 'F' {
			flushes++
		}
	}
	t.Logf("recorded: %d messages acknowledged, %d taken by the remote server, %d kills, %d records, %d flushes",
		s.ledger.Acknowledged(), len(s.sink.Taken()), len(killer.Kills), len(s.records)-s.begin, flushes)
	return s
}

// moments picks where to cut: one half anywhere, one half right behind an
// acknowledgement, where the least has become durable since.
func (s *story) moments(rnd *rand.Rand, n int) []int {
	var acks []int
	for i, r := range s.records {
		if i > s.begin && r.kind == 'M' && strings.HasPrefix(string(r.data), "ack ") {
			acks = append(acks, i+1)
		}
	}
	var out []int
	for i := range n {
		if i%2 == 0 && len(acks) > 0 {
			out = append(out, acks[rnd.IntN(len(acks))])
		} else {
			out = append(out, s.begin+1+rnd.IntN(len(s.records)-s.begin))
		}
	}
	slices.Sort(out)
	return out
}

// check makes one state, has the suite recover from it, and judges.
func (s *story) check(r *replay, p int, rnd *rand.Rand) {
	s.states++
	// How much of what was not flushed survived, in whole writes or torn.
	share := []float64{0, 0.1, 0.5, 0.9, 1}[rnd.IntN(5)]
	piece := []int{maxRecord, 4096, 512}[rnd.IntN(3)]
	state := r.cut(p, piece, func() bool { return rnd.Float64() < share })
	what := fmt.Sprintf("cut before record %d, %.0f %% of the rest in pieces of %d", p, 100*share, piece)
	image := filepath.Join(s.device.dir, "state.img")
	if err := os.WriteFile(image, state, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if _, err := run("mount", "-o", "loop", image, s.device.root()); err != nil {
		s.unmountable++
		s.t.Logf("%s: %v", what, err)
		return
	}
	defer func() {
		if err := unmount(s.device.root()); err != nil {
			s.t.Fatal(err)
		}
	}()
	s.recover(p, what)
}

// recover starts the suite on a state and judges what it makes of it.
func (s *story) recover(p int, what string) {
	acknowledged, taken := s.known(p)
	before := len(s.sink.Taken())
	err := s.suite.Start()
	if err == nil {
		err = rig.Until(time.Minute, func() (bool, error) {
			err := s.suite.Unfinished()
			return err == nil, err
		})
	}
	if err != nil {
		s.t.Errorf("%s: recovery: %v\n%s", what, err, rig.Tail(filepath.Join(s.suite.Dir, "log", "filbert.log"), 3000))
	}
	left, lerr := s.suite.Remains()
	err = errors.Join(lerr, s.suite.Stop())
	if err != nil {
		s.t.Errorf("%s: %v", what, err)
	}
	for _, l := range left {
		// The content of a large message whose record was already durably done
		// goes at the next start.
		if filepath.Base(filepath.Dir(l)) != "incoming" {
			s.t.Errorf("%s: left over: %s", what, l)
		}
	}
	s.judge(what, acknowledged, append(taken, s.sink.Taken()[before:]...))
}

// known is what the world knew before the record p.
func (s *story) known(p int) (acknowledged map[string]bool, taken []rig.Taken) {
	acknowledged = map[string]bool{}
	all := s.sink.Taken()
	for _, r := range s.records[s.begin:p] {
		if r.kind != 'M' {
			continue
		}
		kind, arg, _ := strings.Cut(string(r.data), " ")
		switch kind {
		case "ack":
			acknowledged[arg] = true
		case "taken":
			var n int
			if _, err := fmt.Sscan(arg, &n); err != nil {
				s.t.Fatalf("mark %q: %v", r.data, err)
			}
			taken = append(taken, all[n])
		}
	}
	return acknowledged, taken
}

func (s *story) judge(what string, acknowledged map[string]bool, taken []rig.Taken) {
	copies, _, err := s.suite.Copies()
	if err != nil {
		s.t.Fatal(err)
	}
	v := rig.Judge(s.ledger.AsOf(acknowledged), append(copies, rig.CopiesOf(taken)...),
		func(*rig.Attempt, rig.Copy, rig.Copy) (string, time.Time) {
			return "a power cut", time.Time{}
		})
	s.found += v.Found
	s.duplicates += v.Duplicates
	for i, x := range v.Violations {
		if i == 5 {
			s.t.Errorf("%s: and %d more", what, len(v.Violations)-i)
			break
		}
		s.t.Errorf("%s: %s\n%s", what, x.What, rig.LinesAbout(s.suite.Log(), x.Names...))
	}
}
