package kill

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"filbert/tests/crash/rig"
)

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}

// world is one instance, its remote server and its clients.
type world struct {
	t *testing.T
	*rig.Suite
	sink   *rig.Sink
	ledger *rig.Ledger
	killer *rig.Killer
	seed   uint64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, ledger: &rig.Ledger{}, seed: uint64(number(t, "SEED", int(time.Now().UnixNano()%1_000_000)))}
	bin, err := rig.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if w.sink, err = rig.StartSink(w.seed); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.sink.Close)
	if w.Suite, err = rig.Initialize(bin, filepath.Join(t.TempDir(), "i"), w.sink.Address()); err != nil {
		t.Fatal(err)
	}
	w.killer = rig.NewKiller(w.Suite, w.ledger, w.seed, t.Logf)
	w.killer.Pause = time.Duration(number(t, "PAUSE", 0)) * time.Second
	t.Cleanup(w.end)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

// end leaves no process behind, whatever came before.
func (w *world) end() {
	if _, ok := w.Master(); ok {
		if err := w.Stop(); err != nil {
			w.t.Log(err)
		}
	}
	for _, p := range append(w.Running(), w.killer.Survivors()...) {
		_ = syscall.Kill(p.PID, syscall.SIGKILL)
	}
	if w.t.Failed() {
		w.t.Logf("the end of the log:\n%s", rig.Tail(filepath.Join(w.Dir, "log", "filbert.log"), 4000))
	}
	w.keep()
}

// keep saves the instance, if KEEP names a place for it.
func (w *world) keep() {
	if to := os.Getenv("KEEP"); to != "" {
		to = filepath.Join(to, fmt.Sprintf("seed-%d", w.seed))
		w.t.Logf("the instance is kept in %s: %v", to, os.Rename(w.Dir, to))
	}
}

// TestEveryAcknowledgedMessageOutlivesKills is the promise: kill -9 of any process
// at any time loses nothing, tears nothing, and leaves nothing behind.
func TestEveryAcknowledgedMessageOutlivesKills(t *testing.T) {
	w, rounds := newWorld(t), number(t, "ROUNDS", defaultRounds)
	began := time.Now()
	load := rig.StartLoad(w.Suite, w.ledger, w.seed, rig.Clients{Sessions: 6, Programs: 2, Think: 120 * time.Millisecond})
	w.killer.Run(rounds)
	load.Stop()
	t.Logf("SEED=%d ROUNDS=%d: %d kills in %s; clients met %v",
		w.seed, rounds, len(w.killer.Kills), time.Since(began).Round(time.Second), load.Odds)
	for _, what := range w.killer.Trouble {
		t.Error(what)
	}
	w.settle()
	w.judge()
	w.leftovers()
}

// settle lets the suite finish its work, in a calm world, after one clean stop
// with mail in every state.
func (w *world) settle() {
	w.t.Helper()
	w.sink.Calm.Store(true)
	began := time.Now()
	// Services that were killed often wait for their restart; a new master
	// knows nothing of that.
	if err := errors.Join(w.Stop(), w.Start()); err != nil {
		w.t.Error(err)
	}
	if err := rig.Until(2*time.Minute, w.done); err != nil {
		w.t.Errorf("the suite does not finish its work: %v", err)
	}
	w.t.Logf("settled in %s", time.Since(began).Round(time.Millisecond))
}

func (w *world) done() (bool, error) {
	err := w.Unfinished()
	return err == nil, err
}

// judge collects and judges all copies.
func (w *world) judge() {
	w.t.Helper()
	copies, tmp, err := w.Copies()
	if err != nil {
		w.t.Fatal(err)
	}
	v := rig.Judge(w.ledger.Attempts(), append(copies, rig.CopiesOf(w.sink.Taken())...), rig.ByKills(w.killer.Kills))
	w.t.Logf("%s", v)
	byName := map[string]int{}
	for _, k := range w.killer.Kills {
		byName[k.Name]++
	}
	w.t.Logf("killed: %v; unfinished files in Maildirs: %d", byName, tmp)
	// At most as many as one child writes at a time.
	if tmp > len(w.killer.Kills)*16 {
		w.t.Errorf("%d unfinished files in Maildirs are more than the kills explain", tmp)
	}
	log := w.Log()
	for i, x := range v.Violations {
		if i == 20 {
			w.t.Errorf("and %d more", len(v.Violations)-i)
			break
		}
		w.t.Errorf("%s\n%s", x.What, rig.LinesAbout(log, x.Names...))
	}
}

// leftovers looks for what should be gone, after one more start, and that the
// start changed nothing.
func (w *world) leftovers() {
	w.t.Helper()
	before, _, err := w.Copies()
	if err != nil {
		w.t.Fatal(err)
	}
	remote := len(w.sink.Taken())
	if err := errors.Join(w.Stop(), w.Start()); err != nil {
		w.t.Error(err)
	}
	left, err := w.Remains()
	if err != nil {
		w.t.Error(err)
	}
	for _, what := range left {
		w.t.Errorf("left over: %s", what)
	}
	// What 8 clients have under way at once needs few of them.
	if n := w.Segments(); n > 32 {
		w.t.Errorf("the journal has %d segments of 1 MB", n)
	} else {
		w.t.Logf("the journal has %d segments", n)
	}
	if err := w.Stop(); err != nil {
		w.t.Error(err)
	}
	if err := rig.Until(10*time.Second, w.allGone); err != nil {
		w.t.Error(err)
	}
	after, _, err := w.Copies()
	if err != nil || len(after) != len(before) || len(w.sink.Taken()) != remote {
		w.t.Errorf("a start without work delivered mail: %d and %d copies became %d and %d (%v)",
			len(before), remote, len(after), len(w.sink.Taken()), err)
	}
}

func (w *world) allGone() (bool, error) {
	left := append(w.Running(), w.killer.Survivors()...)
	return len(left) == 0, fmt.Errorf("processes are left: %v", left)
}
