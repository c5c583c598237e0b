// Package event is the one stream of what the suite did. Each thing worth
// telling is a type here, emitted once; the log line, and later the history,
// the metrics and the live view, are views of it, so they cannot disagree.
//
// A log line is short: time, queue id (or "-"), verb, then key=value pairs in
// a fixed order; keys are stable and documented in doc/LOG.md, which a test holds
// against these types. Values that came from a peer pass untrusted.ForLog, so
// that a line is always one line and a value one word or one quoted string.
//
// Emitting never blocks on anything but memory for long and never fails:
// losing the event stream never stops mail. A crash may lose the lines of the last
// quarter second; what the log says of a message is never needed to deliver it.
package event

import (
	"io"
	"os"
	"sync"
	"time"

	"go.uber.org/zap/zapcore"

	"filbert/pkg/queueid"
)

// Event is one thing that happened.
type Event interface {
	// Verb names the event: received, delivered, deferred ...
	Verb() string
	// Subject is the message, zero if none.
	Subject() queueid.ID
	// Fields adds the event's keys in their fixed order.
	Fields(*Fields)
}

// Format is how lines are written.
type Format string

// The formats of settings.Log.Format.
const (
	Text Format = "text"
	JSON Format = "json"
)

// flushEvery bounds how long a line may wait in memory.
const flushEvery = 200 * time.Millisecond

// Log writes events as lines.
type Log struct {
	service string
	format  Format
	now     func() time.Time
	debug   bool
	out     *zapcore.BufferedWriteSyncer
	json    zapcore.Encoder
	pool    sync.Pool
}

// Options of New.
type Options struct {
	Format Format
	Debug  bool             // emit Detail events
	Now    func() time.Time // nil = time.Now
	Direct bool             // no buffer: each line is written at once (tests, mtactl)
}

// New makes the log of one service. Each line is written with one write(2) or
// as part of a larger one, so that several processes may append to one file.
func New(w io.Writer, service string, o Options) *Log {
	l := &Log{service: service, format: o.Format, now: o.Now, debug: o.Debug}
	if l.now == nil {
		l.now = time.Now
	}
	ws := zapcore.AddSync(&lossy{to: w})
	if o.Direct {
		l.out = &zapcore.BufferedWriteSyncer{WS: ws, Size: 1, FlushInterval: time.Hour}
	} else {
		l.out = &zapcore.BufferedWriteSyncer{WS: ws, Size: 64 << 10, FlushInterval: flushEvery}
	}
	if o.Format == JSON {
		l.json = zapcore.NewJSONEncoder(zapcore.EncoderConfig{SkipLineEnding: false, LineEnding: "\n"})
	}
	l.pool.New = func() any { return &Fields{buf: make([]byte, 0, 512)} }
	return l
}

// Discard is a log that goes nowhere, for tests.
func Discard() *Log { return New(io.Discard, "test", Options{}) }

// Stderr is a log on standard error, for programs that run without master.
func Stderr(service string) *Log { return New(os.Stderr, service, Options{Direct: true}) }

// Service is the name of who emits.
func (l *Log) Service() string { return l.service }

// Debugging tells whether Detail events are written; ask before making a costly one.
func (l *Log) Debugging() bool { return l.debug }

// Close flushes what is buffered.
func (l *Log) Close() error { return l.out.Stop() }

// Flush writes what is buffered.
func (l *Log) Flush() { _ = l.out.Sync() }

// Emit writes one event.
func (l *Log) Emit(ev Event) {
	if d, ok := ev.(interface{ Detail() bool }); ok && d.Detail() && !l.debug {
		return
	}
	f := l.pool.Get().(*Fields)
	f.reset()
	if l.json != nil {
		l.emitJSON(ev, f)
	} else {
		f.line(l.now(), l.service, ev)
		_, _ = l.out.Write(f.buf)
	}
	l.pool.Put(f)
}

func (l *Log) emitJSON(ev Event, f *Fields) {
	f.list = f.list[:0]
	f.collect = true
	ev.Fields(f)
	enc := l.json.Clone()
	enc.AddString("t", l.now().UTC().Format(timeLayout))
	enc.AddString("by", l.service)
	if id := ev.Subject(); !id.IsZero() {
		enc.AddString("id", id.String())
	}
	enc.AddString("ev", ev.Verb())
	for _, kv := range f.list {
		switch {
		case kv.isNum:
			enc.AddInt64(kv.key, kv.num)
		case kv.isTime:
			enc.AddFloat64(kv.key, kv.ms)
		default:
			enc.AddString(kv.key, kv.text)
		}
	}
	b, err := enc.EncodeEntry(zapcore.Entry{}, nil)
	if err != nil {
		return // an event that can't be encoded is dropped: the log never stops mail
	}
	_, _ = l.out.Write(b.Bytes())
	b.Free()
}
