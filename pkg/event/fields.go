package event

import (
	"strconv"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/untrusted"
)

const timeLayout = "2006-01-02T15:04:05.000Z"

// Fields collects the key=value pairs of one event. Empty values and zero
// numbers are left out unless the method says otherwise.
type Fields struct {
	buf     []byte
	collect bool
	list    []pair
}

// pair is one key with its value for JSON: a text, a whole number or a length
// of time in milliseconds.
type pair struct {
	key, text string
	num       int64
	isNum     bool
	ms        float64
	isTime    bool
}

func (f *Fields) reset() { f.buf, f.list, f.collect = f.buf[:0], f.list[:0], false }

// line writes "time id verb key=value ... by=service\n".
func (f *Fields) line(now time.Time, service string, ev Event) {
	f.buf = now.UTC().AppendFormat(f.buf, timeLayout)
	f.buf = append(f.buf, ' ')
	if id := ev.Subject(); id.IsZero() {
		f.buf = append(f.buf, '-')
	} else {
		f.buf = append(f.buf, id.String()...)
	}
	f.buf = append(f.buf, ' ')
	f.buf = append(f.buf, ev.Verb()...)
	ev.Fields(f)
	f.Word("by", service)
	f.buf = append(f.buf, '\n')
}

// Word adds our own text: a name from the configuration, a constant.
func (f *Fields) Word(key, value string) {
	if value != "" {
		f.put(key, untrusted.From(value))
	}
}

// Text adds text that came from outside.
func (f *Fields) Text(key string, value untrusted.Text) {
	if !value.IsEmpty() {
		f.put(key, value)
	}
}

// Addr adds an address in angle brackets, <> for the null address.
func (f *Fields) Addr(key string, a mailaddr.Address) {
	f.put(key, untrusted.From(a.Path()))
}

// Int adds a number unless it is 0.
func (f *Fields) Int(key string, n int64) {
	if n != 0 {
		f.Num(key, n)
	}
}

// Num adds a number, 0 too.
func (f *Fields) Num(key string, n int64) {
	if f.collect {
		f.list = append(f.list, pair{key: key, num: n, isNum: true})
		return
	}
	f.key(key)
	f.buf = strconv.AppendInt(f.buf, n, 10)
}

// Took adds a length of time in milliseconds with one decimal.
func (f *Fields) Took(key string, d time.Duration) {
	if d <= 0 {
		return
	}
	if f.collect {
		ms := d.Round(100 * time.Microsecond).Microseconds()
		f.list = append(f.list, pair{key: key, ms: float64(ms) / 1000, isTime: true})
		return
	}
	f.key(key)
	f.buf = strconv.AppendFloat(f.buf, d.Seconds()*1000, 'f', 1, 64)
	f.buf = append(f.buf, "ms"...)
}

// put adds a text. Only a line has to quote it: JSON does so by itself.
func (f *Fields) put(key string, value untrusted.Text) {
	if f.collect {
		f.list = append(f.list, pair{key: key, text: value.ForTerminal()})
		return
	}
	f.key(key)
	f.buf = append(f.buf, value.ForLog()...)
}

func (f *Fields) key(key string) {
	f.buf = append(f.buf, ' ')
	f.buf = append(f.buf, key...)
	f.buf = append(f.buf, '=')
}
