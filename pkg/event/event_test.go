package event

import (
	"bytes"
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/queueid"
	"filbert/pkg/untrusted"
)

// settled is an event with every kind of value, and a server that would like to
// write a line of its own.
func settled() Settled {
	e := SettledOf(queueid.ID(1))
	e.Outcome = &outcome.Outcome{Class: outcome.Deferred, Code: 450, Remote: "mx.example",
		Text: untrusted.From("try \"later\"\n2026 - finished")}
	e.Took, e.SinceRcv = 14930*time.Microsecond, 2*time.Second
	return e
}

func emitted(f Format) string {
	var b bytes.Buffer
	l := New(&b, "dispatch", Options{Format: f, Direct: true,
		Now: func() time.Time { return time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC) }})
	l.Emit(settled())
	_ = l.Close()
	return b.String()
}

func TestLineQuotesWhatASpaceWouldEnd(t *testing.T) {
	want := "2026-03-01T09:30:00.000Z " + queueid.ID(1).String() +
		` deferred to=<> host=mx.example code=450 took=14.9ms age=2000.0ms said="try \"later\"\n2026 - finished" by=dispatch` + "\n"
	if got := emitted(Text); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func TestJSONHasNumbersAndUnquotedText(t *testing.T) {
	var got map[string]any
	if err := json.Unmarshal([]byte(emitted(JSON)), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"t": "2026-03-01T09:30:00.000Z", "by": "dispatch", "id": queueid.ID(1).String(), "ev": "deferred",
		"to": "<>", "host": "mx.example", "code": 450.0, "took": 14.9, "age": 2000.0,
		"said": `try "later"\n2026 - finished`,
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s: got %#v, want %#v", key, got[key], value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d keys, want %d: %v", len(got), len(want), got)
	}
}

// fullDisk takes some bytes, then none, then is a disk again.
type fullDisk struct {
	bytes.Buffer
	room int // -1: all there is
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.room < 0 {
		return d.Buffer.Write(p)
	}
	n, _ := d.Buffer.Write(p[:min(d.room, len(p))])
	d.room -= n
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func TestLogGoesOnWhenThereIsRoomAgain(t *testing.T) {
	for _, direct := range []bool{true, false} {
		d := &fullDisk{room: 30}
		l := New(d, "dispatch", Options{Direct: direct})
		for range 3 {
			l.Emit(FinishedOf(1)) // the first is torn
			l.Flush()
		}
		d.room = -1
		l.Emit(FinishedOf(2))
		if err := l.Close(); err != nil {
			t.Errorf("direct %v: close: %v", direct, err)
		}
		lines := strings.Split(strings.TrimSuffix(d.String(), "\n"), "\n")
		if len(lines) != 2 || !strings.Contains(lines[1], queueid.ID(2).String()+" finished") {
			t.Errorf("direct %v: log %q", direct, lines)
		}
	}
}
