package master

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

func TestLoadIsReadAsTheKernelWritesIt(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "pressure"), 0o700); err != nil {
		t.Fatal(err)
	}
	line := func(avg string) string {
		return "some avg10=" + avg + " avg60=9.00 avg300=9.00 total=1\nfull avg10=99.00 avg60=9.00 avg300=9.00 total=1\n"
	}
	for name, text := range map[string]string{
		"loadavg": "6.40 1.00 1.00 2/300 4711\n", "pressure/cpu": line("2.00"), "pressure/memory": line("31.50"), "pressure/io": line("0.00"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := measure(&settings.Load{Measure: "load", Proc: dir}); err != nil || v != 6.4/float64(runtime.NumCPU()) {
		t.Errorf("%v, %v", v, err)
	}
	if v, err := measure(&settings.Load{Measure: "pressure", Proc: dir}); err != nil || v != 31.5 {
		t.Errorf("%v, %v", v, err)
	}
}

func TestLoadThatCannotBeReadIsAnError(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"", "much", "NaN 1 1", "-1 1 1", "1e300 1 1"} {
		if err := os.WriteFile(filepath.Join(dir, "loadavg"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if v, err := measure(&settings.Load{Proc: dir}); err == nil {
			t.Errorf("%q is %v", text, v)
		}
	}
	if _, err := pressure("full avg10=1.00"); !errors.Is(err, errNoMeasure) {
		t.Error(err)
	}
}

func TestUnknownLoadLeavesTheLimitsWhole(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := &settings.Load{Begin: 2, Full: 6}
	l := follow(proto.LoadStatus{}, s, 9, nil, now)
	if l.Level != 10 || !l.Since.Equal(now) {
		t.Errorf("%+v", l)
	}
	if l = follow(l, s, 0, errNoMeasure, now.Add(time.Second)); l.Level != 100 || l.Problem == "" {
		t.Errorf("%+v", l)
	}
	if l = follow(follow(l, s, 9, nil, now), &settings.Load{}, 0, nil, now); l.Level != 100 {
		t.Errorf("turned off: %+v", l)
	}
}
