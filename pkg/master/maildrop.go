package master

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/proto"
)

const (
	// maildropEvery is how often the maildrop is looked at. Mail is left there
	// only while the suite is down or full, so that most looks find nothing.
	maildropEvery = 30 * time.Second

	// pickupTimeout bounds one run of pickup --drain.
	pickupTimeout = 10 * time.Minute

	maxPickupSaid = 4 << 10
)

// emptyMaildrop has pickup hand in what was left in maildrop/: once cleanup
// serves, and from then on whenever there is something.
func (m *Master) emptyMaildrop(ctx context.Context) {
	cleanup := m.supervisors[proto.Cleanup]
	if cleanup == nil {
		return
	}
	if _, err := cleanup.ready(ctx); err != nil {
		return
	}
	m.mu.Lock()
	dir := filepath.Join(m.settings.Instance.Spool, "maildrop")
	m.mu.Unlock()
	tick := time.NewTicker(maildropEvery)
	defer tick.Stop()
	for {
		if hasEntries(dir) {
			m.runPickup(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// hasEntries is true if there is anything in a directory. One that can't be
// read is empty: mtactl check tells of it.
func hasEntries(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	names, err := f.Readdirnames(1)
	return err == nil && len(names) > 0 && !errors.Is(err, io.EOF)
}

// runPickup runs one pickup --drain to its end, as the suite's main user with
// the group that may submit.
func (m *Master) runPickup(ctx context.Context) {
	var said bytes.Buffer
	cmd := m.opts.pickup()
	cmd.Dir = "/"
	cmd.Stderr = &bounded{w: &said, left: maxPickupSaid}
	cmd.WaitDelay = time.Second
	if m.ids.separate {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
			Uid: uint32(m.ids.main.UID), Gid: uint32(m.ids.drop), Groups: []uint32{},
		}}
	}
	if err := m.starter.start(cmd); err != nil {
		m.log.Emit(event.TroubleOf(0, "emptying the maildrop", err))
		return
	}
	over := time.AfterFunc(pickupTimeout, func() { _ = cmd.Process.Kill() })
	defer over.Stop()
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	if err := cmd.Wait(); err != nil && ctx.Err() == nil {
		text := strings.TrimSpace(said.String())
		m.log.Emit(event.TroubleOf(0, "emptying the maildrop", errors.Join(err, errors.New(text))))
	}
}

// bounded keeps the first bytes and drops the rest.
type bounded struct {
	w    io.Writer
	left int
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	_, err := b.w.Write(p[:n])
	return len(p), err
}
