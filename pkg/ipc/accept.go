package ipc

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// acceptPause is how long accepting rests when the process or the machine is
// out of descriptors: trying again at once would only burn the processor.
const acceptPause = 100 * time.Millisecond

// pauseAfter tells an error of accept(2) that passes from one that does not,
// and rests after the former.
func pauseAfter(ctx context.Context, err error) bool {
	switch {
	case errors.Is(err, unix.ECONNABORTED), errors.Is(err, unix.EINTR):
		return true
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE),
		errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
	default:
		return false
	}
	t := time.NewTimer(acceptPause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
