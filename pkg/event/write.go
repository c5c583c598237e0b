package event

import (
	"io"
	"sync"
)

// lossy is the file behind a log. It loses what can't be written and never says
// so: the buffer in front of it would keep the first error for ever, and a disk
// that was full for a minute would end the log.
type lossy struct {
	mu   sync.Mutex
	to   io.Writer
	torn bool // what was written last is not a whole line
}

// Write writes whole lines.
func (w *lossy) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.torn {
		if _, err := w.to.Write([]byte("\n")); err != nil {
			return len(p), nil
		}
		w.torn = false
	}
	if n, err := w.to.Write(p); err != nil && n > 0 {
		w.torn = p[n-1] != '\n'
	}
	return len(p), nil
}
