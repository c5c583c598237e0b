package master

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

const (
	// reconfigureTimeout bounds a daemon's answer to a new configuration.
	reconfigureTimeout = 20 * time.Second

	// leastReplaceBound is what the sessions of a replaced daemon get at
	// least: a message under way may take limits.message_timeout, and its
	// client has done nothing to be hurried.
	leastReplaceBound = 5 * time.Minute
)

// errInvalid means that the new configuration can't be used.
var errInvalid = errors.New("the configuration in force stays")

// reload puts the configuration that the files hold now in force, or leaves
// everything as it is (doc/adr/0002-reload.md).
func (m *Master) reload() (*proto.ReloadResult, error) {
	m.reloading.Lock()
	defer m.reloading.Unlock()
	s, problems, err := m.opts.Load()
	result := &proto.ReloadResult{Problems: problems}
	if err != nil {
		return result, fmt.Errorf("%w: %w", errInvalid, err)
	}
	m.mu.Lock()
	have, before, state := m.tcp, m.settings, m.state
	m.mu.Unlock()
	if state == stopping {
		return result, errStopping
	}
	if what := needsRestart(before, s); what != "" {
		return result, fmt.Errorf("%w: %s changed: stop and start the suite", errInvalid, what)
	}
	all, gone, err := bindTCP(have, s.Listen)
	if err != nil {
		return result, fmt.Errorf("%w: %w", errInvalid, err)
	}
	// The point of no return: from here on whatever starts has the new
	// configuration.
	if err := m.install(s); err != nil {
		return result, fmt.Errorf("%w: %w", errInvalid, err)
	}
	m.mu.Lock()
	m.tcp = all
	m.mu.Unlock()
	if err := writeName(s, m.ids); err != nil {
		result.Problems = append(result.Problems, err.Error())
		m.log.Emit(event.TroubleOf(0, "reloading", err))
	}
	result.Restarted = m.spread(s, &result.Problems)
	for _, b := range gone {
		b.close()
	}
	m.log.Emit(event.State{Now: "reloaded"})
	return result, nil
}

// needsRestart names what can't change while processes run under it.
func needsRestart(before, after *settings.Settings) string {
	switch {
	case before.Instance != after.Instance:
		return "privilege_separation"
	case before.Users != after.Users:
		return "users"
	case before.Log.Format != after.Log.Format:
		return "log.format"
	case before.Spool.SegmentSize != after.Spool.SegmentSize:
		return "spool.segment_size"
	}
	return ""
}

// spread hands the new configuration to all daemons and returns those that
// were replaced. What goes wrong with one is told and does not stop the others.
func (m *Master) spread(s *settings.Settings, problems *[]string) []string {
	m.mu.Lock()
	generation, encoded := m.generation, m.encoded
	m.mu.Unlock()
	bound := max(s.Limits.DrainTimeout.D(), s.Limits.MessageTimeout.D(), leastReplaceBound)
	ctx, cancel := context.WithTimeout(context.Background(), reconfigureTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var restarted []string
	for _, sup := range m.order {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var err error
			replace := sup.def.reload == replaced
			if !replace {
				replace, err = sup.reconfigure(ctx, &proto.Reconfigure{Generation: generation, Settings: encoded[sup.def.name]})
			}
			if replace && err == nil {
				err = sup.replace(bound)
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				*problems = append(*problems, err.Error())
				m.log.Emit(event.TroubleOf(0, "reloading "+string(sup.def.name), err))
			case replace:
				restarted = append(restarted, string(sup.def.name))
			}
		}()
	}
	wg.Wait()
	return restarted
}
