package localdeliver

import (
	"context"
	"fmt"
	"io"
	"os"
)

// feed copies one message from a spool file into a pipe. The child reads the
// pipe: a descriptor of the file would show it everything else in there.
type feed struct {
	reader *os.File
	writer *os.File
	done   chan struct{}
	unhook func() bool
}

// startFeed begins to copy size bytes at offset. The child notices a copy that
// ended early by its length.
func startFeed(ctx context.Context, src *os.File, offset, size int64) (*feed, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe for the content: %w", err)
	}
	f := &feed{reader: r, writer: w, done: make(chan struct{})}
	// A child that does not read is cut off by the end of the job's time.
	f.unhook = context.AfterFunc(ctx, func() { _ = w.Close() })
	go func() {
		defer close(f.done)
		_, _ = io.Copy(w, io.NewSectionReader(src, offset, size))
		_ = w.Close()
	}()
	return f, nil
}

// stop ends the copying and waits for it, so that the caller may close the file.
func (f *feed) stop() {
	f.unhook()
	_ = f.reader.Close()
	_ = f.writer.Close()
	<-f.done
}
