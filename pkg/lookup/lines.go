package lookup

import (
	"bytes"
	"unicode/utf8"
)

// maxLine bounds a line of a table.
const maxLine = 8 << 10

// eachLine calls fn with each line that says something: not empty, not a
// comment. What no table may hold is reported here.
func eachLine(name string, data []byte, ps *Problems, fn func(line int, text string)) {
	for n := 1; len(data) > 0; n++ {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0 || line[0] == '#':
		case len(line) > maxLine:
			ps.Add(name, n, "the line is longer than %d bytes", maxLine)
		case !utf8.Valid(line):
			ps.Add(name, n, "the line is not UTF-8")
		case bytes.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) >= 0:
			ps.Add(name, n, "the line has a control character in it")
		default:
			fn(n, string(line))
		}
	}
}
