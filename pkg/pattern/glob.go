package pattern

import "unicode/utf8"

// glob matches the whole of text: * is any run of characters, ? is one. It
// goes back to the last star only, which is enough, since an earlier one could
// only take more of the same; the time is at most the product of the lengths.
func glob(pattern, text string) bool {
	p, t := 0, 0
	star, mark := -1, 0 // the last star, and where its run ends so far
	for t < len(text) {
		r, size := utf8.DecodeRuneInString(text[t:])
		if p < len(pattern) {
			want, width := utf8.DecodeRuneInString(pattern[p:])
			switch {
			case want == '*':
				star, mark = p, t
				p++
				continue
			case want == '?' || want == r:
				p, t = p+width, t+size
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, step := utf8.DecodeRuneInString(text[mark:])
		mark += step
		p, t = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
