package ipc

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// gather is how long one gathered buffer grows; longer frames go out
	// from a buffer of their own, without a copy.
	gather = 64 << 10

	// maxBuffers is how many buffers one sendmsg(2) takes (IOV_MAX is 1024).
	maxBuffers = 64

	// writeStall is how long a peer may read nothing while frames wait for
	// it. It is the deadline on our side of every write.
	writeStall = 60 * time.Second

	// maxWaiting is how many bytes may wait for a peer that does not read
	// before it is given up. This bounds notices and replies.
	maxWaiting = 64 << 20

	// callsWaiting is how many bytes may wait before further calls do so
	// outside: calls are large and many, and a peer that is busy for a moment
	// must not lose those under way.
	callsWaiting = 16 << 20
)

// segment is bytes that leave in one piece: gathered small frames, one large
// frame, or one frame with its descriptors.
type segment struct {
	buf   []byte
	files []int // ours, closed once sent
}

// writer sends frames for many goroutines. Whoever finds nobody sending
// becomes the leader and sends what all others add meanwhile: under load the
// frames of many callers leave in one system call.
//
// Invariant: nobody blocks here. A leader that would have to wait hands the
// rest to a goroutine that waits in its place.
type writer struct {
	conn *net.UnixConn
	raw  syscall.RawConn
	lost func(error) // called once, without mu
	room func()      // called without mu when there is room again for calls

	mu      sync.Mutex
	waiting []segment
	free    [][]byte // gathered buffers to use again
	bytes   int      // in waiting
	busy    bool     // there is a leader
	corked  bool     // the read loop will flush before it waits
	crowded bool     // calls wait for room
	quiet   []chan struct{}
	err     error

	// The leader's alone:
	out     []segment // being sent
	at, off int       // the next byte is out[at].buf[off]
}

// keeps tells whether send will keep the buffer of a frame rather than copy
// it.
func keeps(frame []byte, files []int) bool {
	return len(files) > 0 || len(frame) > gather/4
}

// send queues one encoded frame and sees that it leaves. The buffer of a frame
// that it keeps is not the caller's any more; files are taken over in any case.
func (w *writer) send(frame []byte, files []int) error {
	w.mu.Lock()
	if w.err == nil && w.bytes+len(frame) > maxWaiting {
		w.mu.Unlock()
		closeAll(files)
		w.fail(fmt.Errorf("peer does not read: %d bytes wait for it", maxWaiting))
		return ErrGone
	}
	if w.err != nil {
		err := w.err
		w.mu.Unlock()
		closeAll(files)
		return err
	}
	w.addLocked(frame, files)
	if w.busy || w.corked {
		w.mu.Unlock()
		return nil
	}
	w.busy = true
	w.mu.Unlock()
	// Let those who are about to send add their frames: one switch costs
	// less than the system call that it saves.
	runtime.Gosched()
	w.lead()
	return nil
}

func (w *writer) addLocked(frame []byte, files []int) {
	w.bytes += len(frame)
	if keeps(frame, files) {
		w.waiting = append(w.waiting, segment{frame, files})
		return
	}
	last := len(w.waiting) - 1
	if last < 0 || w.waiting[last].files != nil || cap(w.waiting[last].buf) != gather ||
		len(w.waiting[last].buf)+len(frame) > gather {
		w.waiting = append(w.waiting, segment{buf: w.bufferLocked()})
		last++
	}
	w.waiting[last].buf = append(w.waiting[last].buf, frame...)
}

func (w *writer) bufferLocked() []byte {
	if n := len(w.free); n > 0 {
		b := w.free[n-1]
		w.free = w.free[:n-1]
		return b
	}
	return make([]byte, 0, gather)
}

// cork makes the read loop's own batch leave together.
func (w *writer) cork() {
	w.mu.Lock()
	w.corked = true
	w.mu.Unlock()
}

// uncork sends what gathered since cork.
func (w *writer) uncork() {
	w.mu.Lock()
	w.corked = false
	lead := !w.busy && len(w.waiting) > 0 && w.err == nil
	if lead {
		w.busy = true
	}
	w.mu.Unlock()
	if lead {
		w.lead()
	}
}

// lead sends until nothing waits. Requires: the caller set busy.
func (w *writer) lead() {
	for w.take() {
		done, err := w.write(w.try)
		if err != nil {
			w.drop(err)
			return
		}
		if !done {
			go w.wait()
			return
		}
		w.recycle()
	}
}

// wait takes the leadership over from a leader that would have blocked.
func (w *writer) wait() {
	for more := true; more; more = w.take() {
		if _, err := w.write(w.block); err != nil {
			w.drop(err)
			return
		}
		w.recycle()
	}
}

// take moves all that waits to out, or gives up the leadership.
func (w *writer) take() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 || w.err != nil {
		w.busy = false
		w.wakeLocked()
		return false
	}
	w.out, w.waiting = w.waiting, w.out[:0]
	w.at, w.off = 0, 0
	return true
}

// roomy tells whether another call may be sent. If not, room is called later.
func (w *writer) roomy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.crowded = w.err == nil && w.bytes >= callsWaiting
	return !w.crowded
}

// recycle gives the buffers of what was sent back, and lets calls go on.
func (w *writer) recycle() {
	if w.recycled() {
		w.room()
	}
}

func (w *writer) recycled() (room bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.out {
		w.bytes -= len(w.out[i].buf)
		if cap(w.out[i].buf) == gather && len(w.free) < 2 {
			w.free = append(w.free, w.out[i].buf[:0])
		}
		w.out[i] = segment{}
	}
	w.out = w.out[:0]
	room = w.crowded && w.bytes < callsWaiting
	w.crowded = w.crowded && !room
	return room
}

// drop is the leader's end when the connection is lost.
func (w *writer) drop(err error) {
	for _, s := range w.out {
		closeAll(s.files)
	}
	w.out = nil
	w.fail(err)
}

// write sends what is left of out. It is done, or send could not without
// waiting.
func (w *writer) write(send func([][]byte, []byte) (int, error)) (done bool, err error) {
	var store [maxBuffers][]byte
	for w.at < len(w.out) {
		bufs, oob := w.piece(store[:0])
		sent, err := send(bufs, oob)
		if err != nil {
			return false, err
		}
		if sent == 0 {
			return false, nil
		}
		if oob != nil {
			closeAll(w.out[w.at].files)
			w.out[w.at].files = nil
		}
		w.advance(sent)
	}
	return true, nil
}

// piece is what may leave in one call: one segment with its descriptors, or
// all up to the next that has some.
func (w *writer) piece(bufs [][]byte) (_ [][]byte, oob []byte) {
	first := w.out[w.at]
	bufs = append(bufs, first.buf[w.off:])
	if len(first.files) > 0 {
		return bufs, unix.UnixRights(first.files...)
	}
	for _, s := range w.out[w.at+1:] {
		if len(s.files) > 0 || len(bufs) == maxBuffers {
			break
		}
		bufs = append(bufs, s.buf)
	}
	return bufs, nil
}

// advance steps over the next sent bytes.
func (w *writer) advance(sent int) {
	for w.at < len(w.out) {
		left := len(w.out[w.at].buf) - w.off
		if sent < left {
			w.off += sent
			return
		}
		sent -= left
		w.at, w.off = w.at+1, 0
	}
}

// try sends without waiting; 0 means that it would have had to.
func (w *writer) try(bufs [][]byte, oob []byte) (n int, err error) {
	cerr := w.raw.Write(func(fd uintptr) bool {
		n, err = sendmsg(int(fd), bufs, oob)
		return true
	})
	if err == unix.EAGAIN {
		return 0, nil
	}
	if err == nil {
		err = cerr
	}
	return n, err
}

// block waits, at most writeStall for each piece.
func (w *writer) block(bufs [][]byte, oob []byte) (n int, err error) {
	if err := w.conn.SetWriteDeadline(time.Now().Add(writeStall)); err != nil {
		return 0, err
	}
	cerr := w.raw.Write(func(fd uintptr) bool {
		n, err = sendmsg(int(fd), bufs, oob)
		return err != unix.EAGAIN
	})
	if cerr != nil {
		return 0, cerr
	}
	// A deadline that stays would fail a later try without a reason.
	if derr := w.conn.SetWriteDeadline(time.Time{}); err == nil {
		err = derr
	}
	return n, err
}

func sendmsg(fd int, bufs [][]byte, oob []byte) (n int, err error) {
	for {
		n, err = unix.SendmsgBuffers(fd, bufs, oob, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil && err != unix.EAGAIN {
		return 0, os.NewSyscallError("sendmsg", err)
	}
	return n, err
}

// fail ends the writer: what waits is dropped, later sends return the error.
func (w *writer) fail(err error) {
	w.mu.Lock()
	first := w.err == nil
	if first {
		w.err = gone(err)
	}
	dropped := w.waiting
	w.waiting, w.bytes = nil, 0
	w.wakeLocked()
	w.mu.Unlock()
	for _, s := range dropped {
		closeAll(s.files)
	}
	if first {
		w.lost(err)
	}
}

func (w *writer) wakeLocked() {
	for _, c := range w.quiet {
		close(c)
	}
	w.quiet = nil
}

// flushed is closed when nothing waits any more, or nothing ever will.
func (w *writer) flushed() <-chan struct{} {
	c := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || (!w.busy && len(w.waiting) == 0) {
		close(c)
		return c
	}
	w.quiet = append(w.quiet, c)
	return c
}
