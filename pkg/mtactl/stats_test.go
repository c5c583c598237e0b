package mtactl

import (
	"strings"
	"testing"
	"time"

	"filbert/pkg/proto"
)

func relayed() *tallies {
	return &tallies{programs: []program{
		{Name: "cleanup", PID: 1, CPU: 2, Figures: []proto.Figure{{Name: proto.FigureCommitted, Count: 4000}, {Name: proto.FigureFlushes, Count: 1000, Time: 2 * time.Second}}},
		{Name: "smtp-client", PID: 2, CPU: 1, Figures: []proto.Figure{{Name: proto.FigureReused, Count: 1104}, {Name: proto.FigureOpened, Count: 100, Time: 4 * time.Second}}},
		{Name: "smtp-client", PID: 3, Figures: []proto.Figure{{Name: proto.FigureReused, Count: 100}, {Name: proto.FigureOpened, Count: 6, Time: 346 * time.Millisecond}}},
	}}
}

// Of two processes of one program, as there are while one is replaced.
func TestStatsSayWhatWasSavedInWords(t *testing.T) {
	r := relayed().report()
	if r.Messages != 4000 {
		t.Errorf("%d messages", r.Messages)
	}
	if s := r.Savings[0]; s.Words != "1,204 of 1,310 went over one that was open (92 %): each saved 41 ms" || s.Spared != 1204 || s.Of != 1310 {
		t.Errorf("%+v", s)
	}
	for _, x := range r.Together {
		if x.What == "messages a flush" && (x.Words != "4.0: 4,000 messages with 1,000 flushes, 2.0 ms a flush" || x.Mean != 4) {
			t.Errorf("%+v", x)
		}
	}
	if p := r.Programs[0]; p.CPUEach == nil || *p.CPUEach != 0.5 {
		t.Errorf("%+v", p)
	}
}

func TestStatsOfNothingSayNothing(t *testing.T) {
	var b strings.Builder
	a := &app{}
	a.Out = &b
	a.printStats((&tallies{programs: []program{{Name: "router", PID: 7}}}).report())
	if out := b.String(); !strings.HasPrefix(out, "0 messages came in.\n") || strings.Contains(out, "%") || strings.Contains(out, "NaN") {
		t.Error(out)
	}
}

func TestStatsOfATimeLeaveOutWhatWasBefore(t *testing.T) {
	before, now := relayed(), relayed()
	now.programs[1].Figures[0].Count += 5
	now.programs[1].CPU += 0.5
	now.programs[2].PID = 4 // another process: all that it counted is new
	now.subtract(before)
	if f := now.figure(proto.FigureReused); f.Count != 105 {
		t.Errorf("%+v", f)
	}
	if f := now.figure(proto.FigureOpened); f.Count != 6 || f.Time != 346*time.Millisecond {
		t.Errorf("%+v", f)
	}
	if now.programs[0].CPU != 0 || now.programs[1].CPU != 0.5 {
		t.Errorf("%+v", now.programs)
	}
}

func TestNumbersAreReadable(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is %s", n, got)
		}
	}
	for ms, want := range map[float64]string{0.123: "0.12 ms", 1.26: "1.3 ms", 41.4: "41 ms", 12345: "12.3 s", 123456: "123 s"} {
		if got := inTime(ms); got != want {
			t.Errorf("%v is %s, want %s", ms, got, want)
		}
	}
}

func TestStatsOfWhatIsNoTimeAreRefused(t *testing.T) {
	for _, span := range []string{"-1m", "0s", "soon", "5"} {
		code, _, errs := run(t, t.TempDir(), "stats", "--for", span)
		if code != exUsage || !strings.Contains(errs, "--for: "+span+" is no time") || !strings.Contains(errs, "like 30s or 5m") {
			t.Errorf("%s: %d %q", span, code, errs)
		}
	}
}

// Zeros would be taken for what was counted.
func TestStatsNameWhoDoesNotAnswer(t *testing.T) {
	st := &proto.Status{Services: []proto.ServiceStatus{
		{Name: "cleanup", Processes: []proto.ProcessStatus{{PID: 7, State: "running"}}},
		{Name: "router", Processes: []proto.ProcessStatus{{PID: 8, State: "running", Stats: &proto.Stats{}}}},
		{Name: "bounce", Processes: []proto.ProcessStatus{{PID: 9, State: "starting"}}},
	}}
	before := talliesOf(st)
	var b strings.Builder
	a := &app{}
	a.Out = &b
	a.printStats(before.report())
	if out := b.String(); strings.Count(out, "does not answer") != 1 || !strings.Contains(out, "cleanup (pid 7) does not answer") {
		t.Error(out)
	}
	st.Services[0].Processes[0].Stats = &proto.Stats{Figures: []proto.Figure{{Name: proto.FigureCommitted, Count: 4000}}}
	now := talliesOf(st)
	now.subtract(before)
	if r := now.report(); r.Messages != 0 || len(r.Silent) != 1 {
		t.Errorf("what was counted in all its life is told as that of a minute: %+v", r)
	}
}
