package mtactl

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"filbert/pkg/settings"
)

const (
	followEvery = 200 * time.Millisecond
	// tailWindow is how much of the end of the log is read for its last lines.
	tailWindow = 4 << 20
	// maxLogLine cuts what is longer, which no event is.
	maxLogLine = 64 << 10
)

func (a *app) tailCommand() *cobra.Command {
	var follow bool
	var n int
	c := &cobra.Command{
		Use:   "tail [WORD...]",
		Short: "show the end of the log",
		Long: `tail shows the last lines of the log, with -f also those that come, until Ctrl-C.
With words, only lines that have all of them.`,
		Example: "  mtactl tail -f\n  mtactl tail -n 100 deferred example.net",
		RunE: func(_ *cobra.Command, words []string) error {
			inst, err := a.instance()
			if err != nil {
				return err
			}
			return a.tail(inst, n, follow, words)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes")
	c.Flags().IntVarP(&n, "lines", "n", 20, "show the last `N` lines")
	return c
}

func (a *app) tail(inst settings.Instance, n int, follow bool, words []string) error {
	if n < 0 {
		return fail(exUsage, "", "-n %d: a number of lines is wanted", n)
	}
	path := inst.LogFile()
	f, err := os.Open(path)
	if err != nil && !(follow && errors.Is(err, fs.ErrNotExist)) {
		return a.noLog(path, err)
	}
	var offset int64
	if err == nil {
		offset, err = a.lastOf(f, n, words)
		if err != nil {
			return fail(exIOErr, "", "read the log").because(err)
		}
	}
	if !follow {
		return f.Close()
	}
	return a.follow(path, f, offset, words)
}

func (a *app) noLog(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(exNoInput, "the first start of the suite makes it: "+a.self()+" start", "there is no log yet (%s)", path)
	case errors.Is(err, fs.ErrPermission):
		return fail(exNoPerm, "run the command as root, or as a member of the administrators' group", "not permitted to read %s", path)
	}
	return fail(exIOErr, "", "open the log").because(err)
}

// lastOf prints the last n lines that have the words, and gives the place
// behind them.
func (a *app) lastOf(f *os.File, n int, words []string) (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	from := max(0, st.Size()-tailWindow)
	data, err := io.ReadAll(io.NewSectionReader(f, from, st.Size()-from))
	if err != nil {
		return 0, err
	}
	whole := bytes.LastIndexByte(data, '\n') + 1 // a line may be half written
	var lines []string
	for i, line := range strings.Split(strings.TrimSuffix(string(data[:whole]), "\n"), "\n") {
		if i == 0 && from > 0 || line == "" || !hasAll(line, words) {
			continue
		}
		lines = append(lines, line)
	}
	for _, line := range lines[max(0, len(lines)-n):] {
		a.logLine(line)
	}
	return from + int64(whole), nil
}

func hasAll(line string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}

// follow prints what is appended until the command is interrupted. A log that
// was renamed is left for the new one of its name.
func (a *app) follow(path string, f *os.File, offset int64, words []string) error {
	defer func() {
		if f != nil {
			f.Close()
		}
	}()
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		if f != nil {
			var err error
			if offset, err = a.appended(f, offset, words); err != nil {
				return fail(exIOErr, "", "read the log").because(err)
			}
		}
		if f == nil || wasReplaced(f, path, offset) {
			if fresh, err := os.Open(path); err == nil {
				if f != nil {
					// What came between our last look and the renaming.
					_, _ = a.appended(f, offset, words)
					f.Close()
				}
				f, offset = fresh, 0
				continue
			}
		}
		select {
		case <-a.ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// appended prints the whole lines behind offset and gives the place behind
// them.
func (a *app) appended(f *os.File, offset int64, words []string) (int64, error) {
	in := bufio.NewReaderSize(io.NewSectionReader(f, offset, 1<<62), maxLogLine)
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return offset, nil // half a line is read again when it is whole
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return offset, err
		}
		offset += int64(len(line))
		if text := strings.TrimSuffix(string(line), "\n"); hasAll(text, words) {
			a.logLine(text)
		}
	}
}

func wasReplaced(f *os.File, path string, offset int64) bool {
	now, err := os.Stat(path)
	if err != nil {
		return false // between rename and creation
	}
	old, err := f.Stat()
	return err != nil || !os.SameFile(now, old) || now.Size() < offset
}

// logLine prints one line of the log; colours show what to look at.
func (a *app) logLine(line string) {
	line = showLine(line)
	if !a.colour {
		fmt.Fprintln(a.Out, line)
		return
	}
	f := strings.SplitN(line, " ", 4)
	if len(f) < 4 {
		fmt.Fprintln(a.Out, line)
		return
	}
	verb := f[2]
	switch verb {
	case "delivered", "received":
		verb = a.paint(green, verb)
	case "deferred", "held", "delayed":
		verb = a.paint(yellow, verb)
	case "bounced", "refused", "failed", "trouble", "ended":
		verb = a.paint(red, verb)
	}
	fmt.Fprintln(a.Out, a.paint(dim, f[0]), a.paint(bold, f[1]), verb, f[3])
}

// showLine is show for lines of the log, whose values are escaped already: only
// what no event writes is made harmless, so that nothing is escaped twice.
func showLine(line string) string {
	for _, r := range line {
		if r < ' ' || r == 0x7f || r == '\ufffd' || r >= 0x80 && r < 0xa0 {
			return show(line)
		}
	}
	return line
}

// lastLines are the last n lines of a file behind an offset.
func lastLines(path string, from int64, n int) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, from, tailWindow))
	if err != nil {
		return nil
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return nil
	}
	return lines[max(0, len(lines)-n):]
}

func (a *app) traceCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "trace ID",
		Short:   "show everything the log says of one message",
		Long:    "trace shows each line of the log (and of the one before it, filbert.log.1) about a\nmessage or that names it, from its arrival to its end.",
		Example: "  mtactl trace 1HT0E1F3R00",
		Args:    exactly(1, "a queue id"),
		RunE: func(_ *cobra.Command, args []string) error {
			ids, err := checkIDs(args)
			if err != nil {
				return err
			}
			inst, err := a.instance()
			if err != nil {
				return err
			}
			return a.trace(inst, ids[0])
		},
	}
}

func (a *app) trace(inst settings.Instance, id string) error {
	var found []string
	for _, path := range []string{inst.LogFile() + ".1", inst.LogFile()} {
		lines, err := linesAbout(path, id)
		if errors.Is(err, fs.ErrNotExist) && path != inst.LogFile() {
			continue
		}
		if err != nil {
			return a.noLog(path, err)
		}
		found = append(found, lines...)
	}
	if len(found) == 0 {
		return fail(exDataErr, "older logs may have been rotated away", "the log says nothing of %s", id)
	}
	// Each program gathers its lines for a moment before it writes them.
	slices.SortStableFunc(found, func(x, y string) int { return strings.Compare(timeOf(x), timeOf(y)) })
	for _, line := range found {
		a.logLine(line)
	}
	return nil
}

// timeOf is the time of a line in either format, which sorts as text.
func timeOf(line string) string {
	line = strings.TrimPrefix(line, `{"t":"`)
	return line[:min(len(line), len("2006-01-02T15:04:05.000Z"))]
}

func linesAbout(path, id string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(make([]byte, maxLogLine), 16*maxLogLine)
	var lines []string
	for in.Scan() {
		if line := in.Text(); strings.Contains(line, id) {
			lines = append(lines, line)
		}
	}
	return lines, in.Err()
}
