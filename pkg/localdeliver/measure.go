package localdeliver

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/proto"
)

// Measure answers a proto.MeasureQuery: it is run by mtactl, as the user whose
// mailboxes these are, so that whatever links and directories he puts in the way lead
// only where he may look himself.
func Measure(in io.Reader, out io.Writer) error {
	var q proto.MeasureQuery
	if err := json.NewDecoder(io.LimitReader(in, proto.MaxMeasureQuery)).Decode(&q); err != nil {
		return fmt.Errorf("read the question: %w", err)
	}
	answers := json.NewEncoder(out)
	for i, box := range q.Mailboxes {
		paths, err := filepath.Glob(box.Pattern)
		if err != nil {
			return fmt.Errorf("pattern %q: %w", box.Pattern, err)
		}
		for _, path := range paths {
			m, ok := measure(box, path)
			if !ok {
				continue
			}
			m.Query, m.Path = i, path
			if err := answers.Encode(m); err != nil {
				return fmt.Errorf("write the answer: %w", err)
			}
		}
	}
	return nil
}

// measure looks at one mailbox. What a wildcard found need not be one.
func measure(box proto.MeasureMailbox, path string) (proto.Measured, bool) {
	info, err := os.Stat(path)
	if box.Wild && (err != nil || strings.HasPrefix(filepath.Base(path), ".") || ownerOf(info) != os.Geteuid() ||
		info.IsDir() != (box.Driver == "maildir")) {
		return proto.Measured{}, false
	}
	if err != nil {
		return proto.Measured{Trouble: err.Error()}, true
	}
	look := measureMaildir
	if box.Driver != "maildir" {
		look = measureMbox
	}
	got, err := look(path)
	if err != nil {
		got.Trouble = err.Error()
	}
	return got, true
}

func measureMaildir(path string) (proto.Measured, error) {
	m := proto.Measured{}
	dir, err := openDir(path, path)
	if err != nil {
		return m, err
	}
	defer dir.Close()
	u, all, err := countMaildir(dir)
	if err != nil {
		return m, err
	}
	// The moment from which on it does not matter is now: the newest is wanted.
	m.Bytes, m.Messages, m.AtLeast, m.LastRead = u.bytes, u.messages, !all, maildirRead(dir, path, time.Now())
	return m, nil
}

func measureMbox(path string) (proto.Measured, error) {
	m := proto.Measured{Messages: -1}
	dir, err := durable.Open(parentOf(path))
	if err != nil {
		return m, err
	}
	defer dir.Close()
	f, err := dir.OpenFile(filepath.Base(path), os.O_RDONLY, 0)
	if err != nil {
		return m, err
	}
	defer f.Close()
	info, err := f.OS().Stat()
	if err != nil {
		return m, err
	}
	if !info.Mode().IsRegular() {
		return m, fmt.Errorf("%w: it is no regular file", errUnsafe)
	}
	m.Bytes, m.LastRead = info.Size(), mboxRead(f.OS())
	return m, nil
}
