package rewrite

import (
	"unicode"
	"unicode/utf8"
)

// glob matches the whole of text, in any case, and appends what each star stood
// for to captures. A star that is not the last takes as little as it can.
//
// It goes back to the last star only: what stands in front of that has its place
// already, and a later place could not help what follows. So the time is at most
// the product of the lengths.
func glob(pattern, text string, captures []string) ([]string, bool) {
	p, t := 0, 0
	star, from, mark := -1, 0, 0 // the last star, where its run begins and ends
	for t < len(text) {
		r, size := utf8.DecodeRuneInString(text[t:])
		if p < len(pattern) {
			want, width := utf8.DecodeRuneInString(pattern[p:])
			switch {
			case want == '*':
				if star >= 0 {
					captures = append(captures, text[from:mark])
				}
				star, from, mark = p, t, t
				p++
				continue
			case want == '?' || want == r || want == unicode.ToLower(r):
				p, t = p+width, t+size
				continue
			}
		}
		if star < 0 {
			return nil, false
		}
		_, step := utf8.DecodeRuneInString(text[mark:])
		mark += step
		p, t = star+1, mark
	}
	if star >= 0 {
		captures = append(captures, text[from:mark])
	}
	for ; p < len(pattern) && pattern[p] == '*'; p++ {
		captures = append(captures, "")
	}
	return captures, p == len(pattern)
}
