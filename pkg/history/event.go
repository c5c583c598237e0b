package history

import (
	"time"

	"filbert/pkg/queueid"
)

// Limits of one event. The suite's own events stay far below.
const (
	MaxLine   = 64 << 10 // a line of the log
	maxFields = 64
	maxWord   = 40      // a verb, a key, the name of a service
	maxValue  = 8 << 10 // untrusted.MaxLogRunes, each escaped
)

// Event is one line of the log.
type Event struct {
	At     time.Time  // UTC, milliseconds
	ID     queueid.ID // zero: it concerns no message
	Verb   string
	By     string // the program that wrote it
	Fields []Field
}

// Field is one key with its value, as text. Lengths of time end in "ms".
type Field struct {
	Key, Value string
}

// Get is the value of a key, "" if there is none.
func (e *Event) Get(key string) string {
	for i := range e.Fields {
		if e.Fields[i].Key == key {
			return e.Fields[i].Value
		}
	}
	return ""
}

// Has tells whether there is such a key.
func (e *Event) Has(key string) bool {
	for i := range e.Fields {
		if e.Fields[i].Key == key {
			return true
		}
	}
	return false
}

// Path takes the angle brackets off an address as the log has it; the null
// address stays "<>".
func Path(value string) string {
	if len(value) > 2 && value[0] == '<' && value[len(value)-1] == '>' {
		return value[1 : len(value)-1]
	}
	return value
}
