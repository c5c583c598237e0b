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

type pair struct {
	key, text string
	num       int64
	isNum     bool
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
		f.put(key, untrusted.From(value).ForLog())
	}
}

// Text adds text that came from outside.
func (f *Fields) Text(key string, value untrusted.Text) {
	if !value.IsEmpty() {
		f.put(key, value.ForLog())
	}
}

// Addr adds an address in angle brackets, <> for the null address.
func (f *Fields) Addr(key string, a mailaddr.Address) {
	f.put(key, untrusted.From(a.Path()).ForLog())
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

// Took adds a length of time in milliseconds with three decimals.
func (f *Fields) Took(key string, d time.Duration) {
	if d <= 0 {
		return
	}
	if f.collect {
		f.list = append(f.list, pair{key: key, text: strconv.FormatFloat(d.Seconds()*1000, 'f', 1, 64)})
		return
	}
	f.key(key)
	f.buf = strconv.AppendFloat(f.buf, d.Seconds()*1000, 'f', 1, 64)
	f.buf = append(f.buf, "ms"...)
}

func (f *Fields) put(key, value string) {
	if f.collect {
		f.list = append(f.list, pair{key: key, text: value})
		return
	}
	f.key(key)
	f.buf = append(f.buf, value...)
}

func (f *Fields) key(key string) {
	f.buf = append(f.buf, ' ')
	f.buf = append(f.buf, key...)
	f.buf = append(f.buf, '=')
}
