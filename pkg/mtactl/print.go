package mtactl

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"filbert/pkg/untrusted"
)

// The colours, as in ECMA-48.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// wantsColour is true for a terminal, unless its user says otherwise.
func wantsColour(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(w)
}

// isTerminal tells whether somebody sits at the other end of a stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	if err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // the other character device that programs are given
	return err == nil && !os.SameFile(st, null)
}

func (a *app) paint(colour, text string) string {
	if !a.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// show makes text that came from a peer harmless for the terminal.
func show(s string) string { return untrusted.From(s).ForTerminal() }

// printJSON writes one value, indented for people who read it all the same.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// count is "1 message", "3 messages".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// age is a length of time in one unit, for narrow columns.
func age(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + age(-d)
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// size is a number of bytes in three digits and a unit.
func size(n int64) string {
	const units = "KMGTP"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f := float64(n)
	i := -1
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	if f < 10 {
		return fmt.Sprintf("%.1f %cB", f, units[i])
	}
	return fmt.Sprintf("%.0f %cB", f, units[i])
}

// table aligns rows; the last column is as wide as it is.
type table struct {
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(a *app, header bool) {
	var width []int
	for _, r := range t.rows {
		for i, c := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], columns(c))
		}
	}
	for n, r := range t.rows {
		var b strings.Builder
		for i, c := range r {
			b.WriteString(c)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-columns(c)+2))
			}
		}
		line := strings.TrimRight(b.String(), " ")
		if n == 0 && header {
			line = a.paint(dim, line)
		}
		fmt.Fprintln(a.Out, line)
	}
}

// columns is how wide a cell is on a terminal: colours take no room.
func columns(cell string) int {
	n, escape := 0, false
	for _, r := range cell {
		switch {
		case r == '\x1b':
			escape = true
		case !escape:
			n++
		case r == 'm':
			escape = false
		}
	}
	return n
}
