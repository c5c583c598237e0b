package lookup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// restFor is how long a server that failed is asked after the others. Without
// it each question would wait first for the one that does not answer. Ours.
const restFor = 30 * time.Second

// Failover asks servers in their order until one answers.
type Failover struct {
	servers []Server
	timeout time.Duration

	mu    sync.Mutex
	until []time.Time // when each has rested
}

// NewFailover asks these servers, each for at most timeout.
func NewFailover(servers []Server, timeout time.Duration) *Failover {
	return &Failover{servers: servers, timeout: timeout, until: make([]time.Time, len(servers))}
}

// Ask calls ask with the number of one server after the other until it gives no
// error. The error is that of all.
func (f *Failover) Ask(ctx context.Context, ask func(ctx context.Context, server int) error) error {
	var errs []error
	for _, i := range f.order(time.Now()) {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		err := f.one(ctx, i, ask)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("ask %s: %w", f.servers[i].Name, err))
		// An impatient caller says nothing about the server.
		if ctx.Err() == nil {
			f.rest(i, time.Now().Add(restFor))
		}
	}
	return errors.Join(errs...)
}

func (f *Failover) one(ctx context.Context, i int, ask func(context.Context, int) error) error {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	err := ask(ctx, i)
	if err == nil {
		f.rest(i, time.Time{})
	}
	return err
}

func (f *Failover) rest(i int, until time.Time) {
	f.mu.Lock()
	f.until[i] = until
	f.mu.Unlock()
}

// order is the servers that work, then those that rest, each as they stand in
// the settings.
func (f *Failover) order(now time.Time) []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	var fit, resting []int
	for i, until := range f.until {
		if now.Before(until) {
			resting = append(resting, i)
		} else {
			fit = append(fit, i)
		}
	}
	return append(fit, resting...)
}
