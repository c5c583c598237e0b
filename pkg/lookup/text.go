package lookup

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"strings"
)

// MaxText bounds a file of keys and values: some five million lines.
const MaxText = 256 << 20

// Text is a file of keys and values:
//
//	# key               value: the rest of the line
//	alice@example.org   alice
//	example.net         some words
//	"odd name"          a key in quotes may have blanks in it; \" and \\ stand for " and \
//	"odd name"@a.example  so may the local part of an address
//	"#5"                or begin with what would be a comment
//	bob                 (without a value: the key is there, that is all)
//
// A key may stand in it once, in whatever spelling (see Key).
//
// What it keeps beside the text is one number of four octets for each line, and
// some room: a map of a million strings would cost three times the file. A key is
// read from the text again when it is compared.
type Text struct {
	data  []byte
	slots []uint32 // hash table of places of lines, + 1; 0 = free; its length is a power of two
	seed  maphash.Seed
	lines lineIndex
	count int
	name  string
}

// ParseText reads the file; it keeps data. The error is of type *Problems.
func ParseText(name string, data []byte) (*Text, error) {
	t := &Text{data: data, seed: maphash.MakeSeed(), name: name}
	var ps Problems
	if len(data) > MaxText {
		ps.Add(name, 0, "the file has more than %d octets", MaxText)
		return t, ps.Err()
	}
	size := 8
	for lines := bytes.Count(data, []byte("\n")) + 1; size < lines+lines/2; size *= 2 {
	}
	t.slots = make([]uint32, size)
	t.lines = indexLines(data)
	var buf []byte
	eachSpan(name, data, &ps, func(line, start, end int) {
		raw, _, problem := cutKey(data[start:end])
		if problem != "" {
			ps.Add(name, line, "%s", problem)
			return
		}
		if len(raw.text) > MaxKey {
			ps.Add(name, line, "the key is longer than %d octets", MaxKey)
			return
		}
		buf = raw.appendTo(buf[:0])
		slot, found := t.slot(buf)
		if found {
			ps.Add(name, line, "%s stands here twice (first in line %d)", quote(string(raw.text)), t.lines.at(data, int(t.slots[slot]-1)))
			return
		}
		t.slots[slot] = uint32(start) + 1
		t.count++
	})
	return t, ps.Err()
}

// slot is where a key is in the hash table, or where it would be. There is always
// a free one.
func (t *Text) slot(key []byte) (slot int, found bool) {
	mask := len(t.slots) - 1
	var buf [128]byte
	for i := int(maphash.Bytes(t.seed, key)) & mask; ; i = (i + 1) & mask {
		if t.slots[i] == 0 {
			return i, false
		}
		raw, _ := t.lineAt(int(t.slots[i] - 1))
		if bytes.Equal(raw.appendTo(buf[:0]), key) {
			return i, true
		}
	}
}

// lineAt takes the line that begins at a place apart again.
func (t *Text) lineAt(start int) (key rawKey, value []byte) {
	line := t.data[start:]
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	key, value, _ = cutKey(bytes.TrimRight(line, " \t\r"))
	return key, value
}

// Find gives the line of a key, in whatever spelling.
func (t *Text) Find(key string) Answer {
	if t.count == 0 || len(key) > MaxKey {
		return Answer{}
	}
	var buf [128]byte
	slot, found := t.slot(append(buf[:0], Key(key)...))
	if !found {
		return Answer{}
	}
	start := int(t.slots[slot] - 1)
	_, value := t.lineAt(start)
	a := Answer{Found: true, Where: where(t.name, t.lines.at(t.data, start))}
	if len(value) > 0 {
		a.Values = []string{string(value)}
	}
	return a
}

// Len is the number of keys.
func (t *Text) Len() int { return t.count }

func where(name string, line int) string { return fmt.Sprintf("%s:%d", name, line) }

// rawKey is a key as it stands in a line.
type rawKey struct {
	text   []byte
	quoted bool // wholly: what is between the quotes is the key
}

// appendTo appends the one form of the key. Most keys are ASCII words, for which
// nothing is allocated.
func (k rawKey) appendTo(dst []byte) []byte {
	plain := len(k.text) > 0 && !k.quoted
	from := len(dst)
	for _, c := range k.text {
		if !plain || c >= 0x80 || c == '"' || c == ':' || c == '[' {
			return append(dst[:from], Key(k.String())...)
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	if !plain {
		return append(dst[:from], Key(k.String())...)
	}
	return dst
}

// String is the key without the quotes around it.
func (k rawKey) String() string {
	if !k.quoted {
		return string(k.text)
	}
	var b strings.Builder
	in := k.text[1 : len(k.text)-1]
	for i := 0; i < len(in); i++ {
		if in[i] == '\\' {
			i++
		}
		b.WriteByte(in[i])
	}
	return b.String()
}

// cutKey takes a line apart.
func cutKey(line []byte) (key rawKey, value []byte, problem string) {
	end := blank(line)
	if len(line) > 0 && line[0] == '"' {
		n := quotedLen(line)
		if n == 0 {
			return rawKey{}, nil, "the key has no second quote"
		}
		if end = blank(line[n:]); end >= 0 {
			end += n
		}
		rest := line[n:]
		if end >= 0 {
			rest = line[n:end]
		}
		switch {
		case len(rest) == 0:
			key.quoted = true
		case rest[0] != '@':
			return rawKey{}, nil, "a blank, or @ and a domain, must follow the second quote"
		}
	}
	if end < 0 {
		end = len(line)
	}
	key.text = line[:end]
	return key, bytes.TrimLeft(line[end:], " \t"), ""
}

// blank is where the first blank is, or -1.
func blank(s []byte) int {
	for i, c := range s {
		if c == ' ' || c == '\t' {
			return i
		}
	}
	return -1
}

// quotedLen is the length of the quoted string that s begins with, 0 if it has no end.
func quotedLen(s []byte) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}
