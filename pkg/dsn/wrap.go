package dsn

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxWord bounds what is never broken: a word of a peer may be longer than any
// line may be (RFC 5321, section 4.5.3.1.6).
const maxWord = 500

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(wrapAt(s, 68), "\n"), "\n", "\n    ") + "\n"
}

func wrap(s string) string { return wrapAt(s, 72) }

// wrapAt breaks a text into lines of at most width columns, where it can: at
// spaces, and between the characters of scripts that have none.
func wrapAt(s string, width int) string {
	var b strings.Builder
	col, octets := 0, 0
	for i, word := range strings.FieldsFunc(s, isSpace) {
		space := 0
		if i > 0 {
			space = 1
		}
		for len(word) > 0 {
			piece := firstPiece(word)
			word = word[len(piece):]
			w := columns(piece)
			if col > 0 && !glued(piece) && (col+space+w > width || octets+len(piece) > maxWord) {
				b.WriteByte('\n')
				col, octets, space = 0, 0, 0
			}
			if space > 0 && col > 0 {
				b.WriteByte(' ')
				col++
			}
			b.WriteString(piece)
			col, octets, space = col+w, octets+len(piece)+1, 0
		}
	}
	b.WriteByte('\n')
	return b.String()
}

func isSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }

// glued: French has a space before these, and no line begins with one.
func glued(piece string) bool {
	return len(piece) == 1 && strings.Contains(":;!?", piece) || piece == "»"
}

// firstPiece is what must stay together at the beginning of a word: all of it, but
// for wide characters, each of which may begin a line unless it is one of those
// that must not.
func firstPiece(word string) string {
	prev, size := utf8.DecodeRuneInString(word)
	n := size
	for n < len(word) && n < maxWord {
		r, size := utf8.DecodeRuneInString(word[n:])
		if (isWide(prev) || isWide(r)) && !strings.ContainsRune(noFirst, r) && !strings.ContainsRune(noLast, prev) {
			break
		}
		prev = r
		n += size
	}
	return word[:n]
}

// What begins no line and what ends none, in Japanese.
const (
	noFirst = "、。，．・：；？！）」』】〕〉》ーぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ々"
	noLast  = "（「『【〔〈《"
)

// columns is how wide a text is on a terminal.
func columns(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case isWide(r):
			n += 2
		case !unicode.In(r, unicode.Mn, unicode.Me):
			n++
		}
	}
	return n
}

// isWide: Unicode Standard Annex 11, the blocks whose characters are wide.
func isWide(r rune) bool {
	switch {
	case r < 0x1100:
		return false
	case r <= 0x115F, 0x2E80 <= r && r <= 0xA4CF, 0xAC00 <= r && r <= 0xD7A3, 0xF900 <= r && r <= 0xFAFF,
		0xFE30 <= r && r <= 0xFE6F, 0xFF00 <= r && r <= 0xFF60, 0xFFE0 <= r && r <= 0xFFE6,
		0x1F300 <= r && r <= 0x1F64F, 0x20000 <= r && r <= 0x3FFFD:
		return true
	}
	return false
}
