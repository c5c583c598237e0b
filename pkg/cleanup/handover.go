package cleanup

import (
	"context"
	"errors"
	"os"
	"sync"

	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

// handoverBudget bounds the memory, in bytes, of what waits to be sent to
// dispatch or to be taken by it. Beyond it dispatch is told to look into the
// journal instead: there the message is anyway.
const handoverBudget = 32 << 20

// What a message costs. While a connection is behind, its content is there as it came,
// as a frame, and in the buffer that is being sent. Descriptors are scarcer than memory.
const (
	copies    = 3
	frameCost = 1 << 10
	fileCost  = 64 << 10
)

// handover gives accepted messages to dispatch. It may lose any of them
// without harm, as long as it then asks dispatch to rescan.
type handover struct {
	client *ipc.Client
	log    *event.Log

	mu     sync.Mutex
	bytes  int64 // content under way
	missed bool  // something was not handed over since the last Rescan
}

// give sends one accepted message; file may be nil.
func (h *handover) give(m *proto.Attempt, file *os.File) {
	cost := handoverCost(m, file != nil)
	if !h.reserve(cost) {
		closeFile(file)
		return
	}
	var files []*os.File
	if file != nil {
		files = []*os.File{file}
	}
	h.client.Go(context.Background(), m, func(_ *ipc.Reply, err error) {
		closeFile(file)
		h.release(cost, err)
		if err != nil && !errors.Is(err, ipc.ErrGone) {
			h.log.Emit(event.TroubleOf(m.Envelope.ID, "hand over to dispatch", err))
		}
	}, files...)
}

func handoverCost(m *proto.Attempt, file bool) int64 {
	cost := copies*int64(len(m.Content.Inline)) + frameCost
	if file {
		cost += fileCost
	}
	return cost
}

func (h *handover) reserve(cost int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bytes+cost > handoverBudget {
		h.missed = true
		return false
	}
	h.bytes += cost
	return true
}

// release returns a cost. When half the budget is free again, or an attempt
// was refused, what was missed is asked for.
func (h *handover) release(cost int64, err error) {
	h.mu.Lock()
	h.bytes -= cost
	if err != nil {
		h.missed = true
	}
	ask := h.missed && h.bytes < handoverBudget/2
	if ask {
		h.missed = false
	}
	h.mu.Unlock()
	// Not under the lock: a connection that fails here ends the calls on it, and
	// they come back to release.
	if ask && h.client.Notify(&proto.Rescan{}) != nil {
		// Asked for again with the next message; and dispatch looks by itself when
		// a connection comes up.
		h.mu.Lock()
		h.missed = true
		h.mu.Unlock()
	}
}

// miss notes that a message was not even tried.
func (h *handover) miss() {
	h.mu.Lock()
	h.missed = true
	h.mu.Unlock()
	h.release(0, nil)
}

func closeFile(f *os.File) {
	if f != nil {
		_ = f.Close()
	}
}
