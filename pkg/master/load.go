package master

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"filbert/pkg/event"
	curve "filbert/pkg/pace"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// errNoMeasure says that the kernel does not tell, or in words that we don't know.
var errNoMeasure = errors.New("no measure of the load")

// maxProc bounds what is read of a file of the kernel's.
const maxProc = 4 << 10

// heedsLoad tells whether a service is told of the load of the machine.
func heedsLoad(name proto.Service) bool { return name == proto.SMTPD || name == proto.Dispatch }

// watchLoad looks at the load of the machine until ctx is done, and tells those whom it
// concerns. It looks when the settings have a use for it only.
func (m *Master) watchLoad(ctx context.Context) {
	for {
		m.mu.Lock()
		s := m.settings.Load
		m.mu.Unlock()
		if m.weigh(&s, m.clock.Now()) {
			m.tellLoad(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(s.Every.D(), time.Second)):
		}
	}
}

// weigh takes the load at a moment in. It tells whether that has changed anything.
func (m *Master) weigh(s *settings.Load, now time.Time) bool {
	var value float64
	var err error
	if s.Begin > 0 {
		value, err = measure(s)
	}
	m.mu.Lock()
	old := m.load
	m.load = follow(old, s, value, err, now)
	l := m.load
	m.mu.Unlock()
	// The log takes the lock, too.
	if l.Problem != "" && old.Problem == "" {
		m.log.Emit(event.TroubleOf(0, "look at the load of the machine", err))
	}
	if l.Level == old.Level || old.Level == 0 && l.Level == curve.Whole {
		return false
	}
	m.log.Emit(event.State{Now: "load", Why: fmt.Sprintf("%s %.2f: limits at %d percent", l.Measure, l.Value, l.Level)})
	return true
}

// follow is what follows a status: a load, or the error with which it could not be read.
// What is not known is no reason to take or do less.
func follow(l proto.LoadStatus, s *settings.Load, value float64, err error, now time.Time) proto.LoadStatus {
	before := l.Level
	l.Measure, l.Value, l.Problem = s.Measure, value, ""
	switch {
	case err != nil:
		l.Level, l.Problem = curve.Whole, err.Error()
	case s.Begin <= 0 || before == 0:
		l.Level = curve.LoadCurve{Begin: s.Begin, Full: s.Full}.Level(value)
	default:
		l.Level = curve.LoadCurve{Begin: s.Begin, Full: s.Full}.Next(before, value)
	}
	if l.Level != before {
		l.Since = now
	}
	return l
}

// tellLoad tells all who are there.
func (m *Master) tellLoad(ctx context.Context) {
	for _, s := range m.order {
		if heedsLoad(s.def.name) {
			s.each(func(c *child) {
				if c.isReady() {
					m.repeatLoad(ctx, c)
				}
			})
		}
	}
}

// repeatLoad tells one process, if there is anything to tell.
func (m *Master) repeatLoad(ctx context.Context, c *child) {
	m.mu.Lock()
	level := m.load.Level
	m.mu.Unlock()
	if level == 0 || !heedsLoad(c.service) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, heedTimeout)
	defer cancel()
	if err := c.conn.Call(ctx, &proto.Load{Level: uint8(level)}, &proto.Done{}); err != nil {
		select {
		case <-c.exited:
		default:
			m.log.Emit(event.TroubleOf(0, "tell "+string(c.service)+" the load of the machine", err))
		}
	}
}

// loadStatus is for people, nil while the limits are fixed.
func (m *Master) loadStatusLocked() *proto.LoadStatus {
	if m.settings.Load.Begin <= 0 || m.load.Level == 0 {
		return nil
	}
	st := m.load
	return &st
}

// measure is the load as settings want it.
func measure(s *settings.Load) (float64, error) {
	if s.Measure != "pressure" {
		text, err := readProc(s.Proc, "loadavg")
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(text, " ")
		value, err := number(first)
		return value / float64(runtime.NumCPU()), err
	}
	worst := 0.0
	for _, name := range []string{"cpu", "memory", "io"} {
		text, err := readProc(s.Proc, "pressure/"+name)
		if err != nil {
			return 0, err
		}
		value, err := pressure(text)
		if err != nil {
			return 0, err
		}
		worst = max(worst, value)
	}
	return worst, nil
}

// pressure is avg10 of the line "some avg10=0.00 avg60=0.00 avg300=0.00 total=0".
func pressure(text string) (float64, error) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "some avg10="); ok {
			first, _, _ := strings.Cut(rest, " ")
			return number(first)
		}
	}
	return 0, fmt.Errorf("%w: %.80q", errNoMeasure, text)
}

func number(text string) (float64, error) {
	value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(value >= 0 && value < 1e6) {
		return 0, fmt.Errorf("%w: %.80q", errNoMeasure, text)
	}
	return value, nil
}

func readProc(dir, name string) (string, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, maxProc)
	n, err := f.Read(b)
	if n == 0 && err != nil {
		return "", fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return string(bytes.TrimRight(b[:n], "\n\x00")), nil
}
