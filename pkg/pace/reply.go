package pace

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"filbert/pkg/outcome"
)

// ErrReply is wrapped by the errors of ParseReply.
var ErrReply = errors.New("no pattern of a reply")

// Bounds of a pattern, and of the text that one looks at.
const (
	maxPattern = 500
	maxText    = 1000
)

// Reply is a pattern of replies.
type Reply struct {
	globs []string       // each has to match the code or the enhanced one
	text  *regexp.Regexp // or this the text; nil: none
}

// ParseReply reads "421", "45?", "4.7.28", "421 4.7.*" (both) or "/rate limit/", which
// is for the text in any case.
func ParseReply(pattern string) (Reply, error) {
	if len(pattern) > maxPattern {
		return Reply{}, fmt.Errorf("%w: longer than %d octets", ErrReply, maxPattern)
	}
	if len(pattern) > 2 && pattern[0] == '/' && pattern[len(pattern)-1] == '/' {
		re, err := regexp.Compile("(?i)" + pattern[1:len(pattern)-1])
		if err != nil {
			return Reply{}, fmt.Errorf("%w: %w", ErrReply, err)
		}
		return Reply{text: re}, nil
	}
	globs := strings.Fields(pattern)
	if len(globs) < 1 || len(globs) > 2 {
		return Reply{}, fmt.Errorf("%w: %q", ErrReply, pattern)
	}
	for _, g := range globs {
		if g[0] != '4' && g[0] != '5' || strings.Trim(g, "0123456789.?*") != "" {
			return Reply{}, fmt.Errorf("%w: %q", ErrReply, pattern)
		}
	}
	return Reply{globs: globs}, nil
}

// Matches tells whether a server's reply is meant. Ours are not replies.
func (r *Reply) Matches(o *outcome.Outcome) bool {
	if o.Code == 0 || o.Class == outcome.Delivered {
		return false
	}
	if r.text != nil {
		return r.text.MatchString(o.Text.Clip(maxText).ForTerminal())
	}
	for _, g := range r.globs {
		if !has(g, strconv.Itoa(o.Code)) && !has(g, o.Status.String()) {
			return false
		}
	}
	return true
}

func has(glob, text string) bool {
	ok, err := path.Match(glob, text)
	return ok && err == nil
}
