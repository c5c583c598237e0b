package history

import (
	"errors"
	"strings"
	"time"

	"filbert/pkg/queueid"
)

// ErrNotOurs is what Parse says of a line that pkg/event did not write.
var ErrNotOurs = errors.New("not a line of this log")

const timeLayout = "2006-01-02T15:04:05.000Z"

// Parse reads one line of the log, without its line end, in either format.
func Parse(line []byte) (Event, error) {
	if len(line) > MaxLine {
		return Event{}, ErrNotOurs
	}
	if len(line) > 0 && line[0] == '{' {
		return parseJSON(line)
	}
	return parseText(string(line))
}

// parseText reads "time id verb key=value ... by=service".
func parseText(s string) (Event, error) {
	var e Event
	at, s, ok1 := strings.Cut(s, " ")
	id, s, ok2 := strings.Cut(s, " ")
	verb, s, ok3 := strings.Cut(s, " ")
	if !ok1 || !ok2 || !ok3 || !e.setHead(at, id, verb) {
		return Event{}, ErrNotOurs
	}
	e.Fields = make([]Field, 0, strings.Count(s, "="))
	for s != "" {
		key, rest, ok := strings.Cut(s, "=")
		if !ok || !isWord(key) || len(e.Fields) == maxFields || e.Has(key) {
			return Event{}, ErrNotOurs
		}
		var value string
		value, rest, ok = cutValue(rest)
		if !ok {
			return Event{}, ErrNotOurs
		}
		e.Fields = append(e.Fields, Field{key, value})
		s = rest
	}
	return e.closed()
}

// closed takes off the last field, which says who wrote the line: a line that was
// torn has none.
func (e Event) closed() (Event, error) {
	n := len(e.Fields) - 1
	if n < 0 || e.Fields[n].Key != "by" || !isWord(e.Fields[n].Value) {
		return Event{}, ErrNotOurs
	}
	if e.By, e.Fields = e.Fields[n].Value, e.Fields[:n]; n == 0 {
		e.Fields = nil
	}
	return e, nil
}

func (e *Event) setHead(at, id, verb string) bool {
	t, ok := parseTime(at)
	if !ok || !isWord(verb) {
		return false
	}
	e.At, e.Verb = t, verb
	if id == "-" {
		return true
	}
	var err error
	e.ID, err = queueid.Parse(id)
	return err == nil && e.ID.String() == id
}

// parseTime reads the one form that the log has. It is a tenth of the work of
// time.Parse, which follows a layout.
func parseTime(s string) (time.Time, bool) {
	if len(s) != len(timeLayout) || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[19] != '.' || s[23] != 'Z' {
		return time.Time{}, false
	}
	ok := true
	number := func(from, to int) (n int) {
		for _, c := range []byte(s[from:to]) {
			if c < '0' || c > '9' {
				ok = false
			}
			n = n*10 + int(c-'0')
		}
		return n
	}
	y, mo, d := number(0, 4), number(5, 7), number(8, 10)
	h, mi, sec, ms := number(11, 13), number(14, 16), number(17, 19), number(20, 23)
	if !ok || y < 1970 || mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 || mi > 59 || sec > 59 {
		return time.Time{}, false
	}
	t := time.Date(y, time.Month(mo), d, h, mi, sec, ms*int(time.Millisecond), time.UTC)
	return t, t.Day() == d // the 31st of February is none
}

// isWord tells whether s is a name of ours: a verb, a key, a program.
func isWord(s string) bool {
	if s == "" || len(s) > maxWord {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// cutValue takes one value off s, and the space behind it.
func cutValue(s string) (value, rest string, ok bool) {
	if strings.HasPrefix(s, `"`) {
		value, rest, ok = cutQuoted(s[1:])
	} else {
		value, rest, ok = cutAt(s, ' ')
		ok = ok && value != "" && strings.IndexByte(value, '"') < 0 && strings.IndexByte(value, '=') < 0
		value = plain(value)
	}
	return value, rest, ok && len(value) <= maxValue
}

func cutAt(s string, c byte) (before, after string, found bool) {
	if i := strings.IndexByte(s, c); i >= 0 {
		return s[:i], s[i+1:], i+1 < len(s)
	}
	return s, "", true
}

// cutQuoted takes a value off that ends at the next quote without a backslash, or at
// that quote and three dots. Within it, \" is a quote; where other escapes are,
// they stay as they are shown, a backslash doubled.
func cutQuoted(s string) (value, rest string, ok bool) {
	end := -1
scan:
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			end = i
			break scan
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
	}
	if end < 0 {
		return "", "", false
	}
	value, rest = s[:end], s[end+1:]
	value = plain(unquote(value))
	if strings.HasPrefix(rest, "...") {
		value, rest = value+"...", rest[3:]
	}
	if rest == "" {
		return value, "", true
	}
	if rest[0] != ' ' || len(rest) == 1 {
		return "", "", false
	}
	return value, rest[1:], true
}

// plain undoes what was done to backslashes where nothing else had to be escaped, as
// untrusted.ForTerminal does.
func plain(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			if i++; i == len(s) || s[i] != '\\' {
				return s
			}
		}
	}
	return strings.ReplaceAll(s, `\\`, `\`)
}

// unquote makes \" a quote and leaves pairs of backslashes alone.
func unquote(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
			if s[i] != '"' {
				b.WriteByte('\\')
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
