package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// watcher counts what appears in mailboxes.
type watcher struct {
	n    atomic.Int64
	last atomic.Int64 // when the last appeared, in ns
	stop chan struct{}
	done chan struct{}
}

func newWatcher() *watcher {
	return &watcher{stop: make(chan struct{}), done: make(chan struct{})}
}

func (w *watcher) arrived(n int) {
	w.n.Add(int64(n))
	w.last.Store(time.Now().UnixNano())
}

func (w *watcher) wait(n int, timeout time.Duration) bool {
	end := time.Now().Add(timeout)
	for int(w.n.Load()) < n {
		if time.Now().After(end) {
			return false
		}
		time.Sleep(time.Millisecond)
	}
	return true
}

func (w *watcher) close() {
	close(w.stop)
	<-w.done
}

// watch watches the mailboxes of the first users.
func (p *peer) watch(kind string, users int) (*watcher, error) {
	var boxes []string
	for u := range users {
		boxes = append(boxes, p.mailbox(kind, u))
	}
	if kind == "mbox" {
		return watchMbox(boxes), nil
	}
	return watchMaildirs(boxes)
}

func watchMaildirs(dirs []string) (*watcher, error) {
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	for _, d := range dirs {
		if _, err := syscall.InotifyAddWatch(fd, filepath.Join(d, "new"), syscall.IN_MOVED_TO|syscall.IN_CREATE); err != nil {
			f.Close()
			return nil, fmt.Errorf("watch %s: %w", d, err)
		}
	}
	w := newWatcher()
	go func() {
		defer close(w.done)
		buf := make([]byte, 1<<16)
		for {
			n, err := f.Read(buf)
			if err != nil {
				return
			}
			w.arrived(inotifyEvents(buf[:n]))
		}
	}()
	go func() {
		<-w.stop
		f.Close()
	}()
	return w, nil
}

func inotifyEvents(b []byte) (n int) {
	for o := 0; o+syscall.SizeofInotifyEvent <= len(b); n++ {
		// The kernel aligns each event; its length follows from its name's.
		o += syscall.SizeofInotifyEvent + int((*syscall.InotifyEvent)(unsafe.Pointer(&b[o])).Len)
	}
	return n
}

// mboxTail is how far a mailbox has been read.
type mboxTail struct {
	path string
	off  int64
	tail []byte // the end of what was read, in which a mark may begin
}

func watchMbox(files []string) *watcher {
	w := newWatcher()
	var tails []*mboxTail
	for _, f := range files {
		tails = append(tails, &mboxTail{path: f})
	}
	go func() {
		defer close(w.done)
		buf := make([]byte, 1<<20)
		for {
			for _, t := range tails {
				if n := t.read(buf); n > 0 {
					w.arrived(n)
				}
			}
			select {
			case <-w.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return w
}

// read counts the messages that have come since it was last called.
func (t *mboxTail) read(buf []byte) (n int) {
	fi, err := os.Stat(t.path)
	if err != nil || fi.Size() <= t.off {
		return 0
	}
	f, err := os.Open(t.path)
	if err != nil {
		return 0
	}
	defer f.Close()
	for {
		got, _ := f.ReadAt(buf, t.off)
		if got <= 0 {
			return n
		}
		t.off += int64(got)
		b := append(t.tail, buf[:got]...)
		n += bytes.Count(b, []byte("\n"+mark))
		t.tail = bytes.Clone(b[max(0, len(b)-len(mark)):])
	}
}
