package lookup

import (
	"bytes"
	"sort"
	"unicode/utf8"
)

// maxLine bounds a line of a table.
const maxLine = 8 << 10

// eachLine calls fn with each line that says something: not empty, not a
// comment. What no table may hold is reported here.
func eachLine(name string, data []byte, ps *Problems, fn func(line int, text string)) {
	eachSpan(name, data, ps, func(line, start, end int) { fn(line, string(data[start:end])) })
}

// eachSpan is eachLine for those who want to know where in data a line stands,
// without the blanks around it.
func eachSpan(name string, data []byte, ps *Problems, fn func(line, start, end int)) {
	for n, next := 1, 0; next < len(data); n++ {
		start, end := next, len(data)
		if i := bytes.IndexByte(data[next:], '\n'); i >= 0 {
			end = next + i
		}
		next = end + 1
		for start < end && isBlank(data[start]) {
			start++
		}
		for start < end && isBlank(data[end-1]) {
			end--
		}
		line := data[start:end]
		switch {
		case len(line) == 0 || line[0] == '#':
			continue
		case len(line) > maxLine:
			ps.Add(name, n, "the line is longer than %d bytes", maxLine)
		case !isText(line):
			ps.Add(name, n, "%s", textProblem(line))
		default:
			fn(n, start, end)
		}
	}
}

// isBlank is what lines may begin and end with. A blank of Unicode is text.
func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

// isText looks first whether a line is what nearly all lines are.
func isText(line []byte) bool {
	for _, c := range line {
		if c < ' ' && c != '\t' || c >= 0x7f {
			return textProblem(line) == ""
		}
	}
	return true
}

func textProblem(line []byte) string {
	switch {
	case !utf8.Valid(line):
		return "the line is not UTF-8"
	case bytes.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) >= 0:
		return "the line has a control character in it"
	}
	return ""
}

// lineIndex has the place of each 64th line, so that a place can be shown as a
// line without counting from the beginning.
type lineIndex []uint32

// linesApart is the number of lines between two entries.
const linesApart = 64

func indexLines(data []byte) lineIndex {
	x := lineIndex{0}
	for n, next := 1, 0; ; n++ {
		i := bytes.IndexByte(data[next:], '\n')
		if i < 0 {
			return x
		}
		next += i + 1
		if n%linesApart == 0 {
			x = append(x, uint32(next))
		}
	}
}

// at is the line that a place is in.
func (x lineIndex) at(data []byte, place int) int {
	i := sort.Search(len(x), func(i int) bool { return int(x[i]) > place }) - 1
	return i*linesApart + bytes.Count(data[x[i]:place], []byte("\n")) + 1
}
