package localdeliver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"filbert/pkg/durable"
)

// A tally is the file "maildirsize" of a Maildir, which saves counting the
// messages at each delivery. It is that of Maildir++, so that Courier and Dovecot,
// where they keep quotas by it, read and continue the same one: the limits in the
// first line ("1000000S,100C"), then a line "bytes messages" for each change, whose
// sum is what the mailbox holds.
//
// The user may write what he likes into it: what he gains is room in his own
// mailbox, which he would have by any other directory as well. So it is read
// strictly and within bounds, and what makes no sense is counted anew.
//
// Mail programs that know nothing of it remove messages without a line in it, and
// put others in. Therefore the mailbox is counted again when the file is
// tallyAge old or tallyMax long, when its limits are others than ours, and before
// anything unpleasant follows from it (a message that is not taken, a warning) unless
// nothing can have changed since it was made.
//
// The rejected alternatives: counting at each delivery (a second for a large
// mailbox on a slow disk), and a form of our own, which would go stale as soon as
// another program kept the other.
type tally struct {
	usage
	lines   int       // of changes; 1 = as it was counted
	written time.Time // the last change of the file
}

const (
	tallyName = "maildirsize"
	tallyMax  = 5120 // bytes, as Maildir++ has it: some 350 deliveries
	tallyAge  = 15 * time.Minute
	// tallyMost bounds each number, and with tallyMax every sum.
	tallyMost = 1 << 48
)

var errTally = errors.New("no tally")

// spec is the first line of a tally under these limits.
func (l limits) spec() string {
	var words []string
	if l.bytes > 0 {
		words = append(words, fmt.Sprintf("%dS", l.bytes))
	}
	if l.messages > 0 {
		words = append(words, fmt.Sprintf("%dC", l.messages))
	}
	return strings.Join(words, ",")
}

// parseTally reads a tally that was made under the limits of spec.
func parseTally(data []byte, spec string) (tally, error) {
	first, rest, whole := strings.Cut(string(data), "\n")
	if !whole || first != spec || len(data) > tallyMax {
		return tally{}, errTally
	}
	var t tally
	for line := range strings.Lines(rest) {
		f := strings.Fields(line)
		if len(f) != 2 || !strings.HasSuffix(line, "\n") {
			return tally{}, errTally
		}
		bytes, err := tallyNumber(f[0])
		if err != nil {
			return tally{}, err
		}
		messages, err := tallyNumber(f[1])
		if err != nil {
			return tally{}, err
		}
		t.bytes += bytes
		t.messages += messages
		t.lines++
	}
	if t.lines == 0 || t.bytes < 0 || t.messages < 0 {
		return tally{}, errTally
	}
	return t, nil
}

func tallyNumber(word string) (int64, error) {
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil || n > tallyMost || n < -tallyMost {
		return 0, errTally
	}
	return n, nil
}

// readTally reads the tally of a Maildir; any error means that there is none of use.
func readTally(fsys durable.FS, spec string) (tally, error) {
	f, err := fsys.OpenFile(tallyName, os.O_RDONLY, 0)
	if err != nil {
		return tally{}, err
	}
	defer f.Close()
	info, err := checkMailboxFile(f.OS())
	if err != nil {
		return tally{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f.OS(), tallyMax+1))
	if err != nil {
		return tally{}, err
	}
	t, err := parseTally(data, spec)
	t.written = info.ModTime()
	return t, err
}

// appendTally notes a change. The kernel puts each line whole behind the others.
func appendTally(fsys durable.FS, change usage) error {
	f, err := fsys.OpenFile(tallyName, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := checkMailboxFile(f.OS()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%d %d\n", change.bytes, change.messages)
	return err
}

// replaceTally puts a tally of what was counted in place of whatever is there. It
// is not flushed: a power cut that loses or tears it costs another count.
func replaceTally(fsys durable.FS, temp, spec string, u usage) error {
	f, err := create(fsys, temp)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s\n%d %d\n", spec, u.bytes, u.messages)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fsys.Rename(temp, tallyName)
	}
	if err != nil {
		_ = fsys.Remove(temp)
	}
	return err
}
