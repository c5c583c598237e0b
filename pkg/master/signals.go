package master

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"filbert/pkg/event"
)

// signalWatch turns signals into calls.
type signalWatch struct {
	ch    chan os.Signal
	ended chan struct{}
}

func (m *Master) watchSignals() *signalWatch {
	w := &signalWatch{ch: make(chan os.Signal, 8), ended: make(chan struct{})}
	signal.Notify(w.ch, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
	go func() {
		defer close(w.ended)
		var wg sync.WaitGroup
		defer wg.Wait()
		stops := 0
		for sig := range w.ch {
			switch sig {
			case syscall.SIGHUP:
				wg.Add(1)
				go func() {
					defer wg.Done()
					m.reloadAndTell()
				}()
			case syscall.SIGUSR1:
				m.reopenLog()
			default:
				if stops++; stops == 2 {
					close(m.hurry)
				}
				m.Stop()
			}
		}
	}()
	return w
}

// reloadAndTell is a reload whose result nobody waits for.
func (m *Master) reloadAndTell() {
	if _, err := m.reload(); err != nil {
		m.log.Emit(event.TroubleOf(0, "reloading", err))
	}
}

func (w *signalWatch) stop() {
	signal.Stop(w.ch)
	close(w.ch)
	<-w.ended
}
