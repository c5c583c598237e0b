package pickup

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// interrupts has a signal end the process only between two steps, so that
// nothing that was begun is left half done. The step of handing a message in is
// short and is always finished, and told: only its answer decides the exit status.
type interrupts struct {
	step sync.Mutex
}

// watch begins to obey signals. Those that the caller ignored (nohup) stay so.
func (i *interrupts) watch() {
	// Writing past RLIMIT_FSIZE, or to a reader that is gone, becomes an error
	// of the write.
	signal.Ignore(syscall.SIGXFSZ, syscall.SIGPIPE)
	ch := make(chan os.Signal, 1)
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGXCPU} {
		if !signal.Ignored(s) {
			signal.Notify(ch, s)
		}
	}
	go func() {
		<-ch
		i.step.Lock()
		os.Exit(exTempFail) // with the lock held: nobody begins a step
	}()
}

// finally carries out the last step: no signal counts any more, because the exit
// status has to say what became of the message.
func (i *interrupts) finally(step func() error) error {
	i.step.Lock()
	return step()
}

// during carries out one step of several.
func (i *interrupts) during(step func() error) error {
	i.step.Lock()
	defer i.step.Unlock()
	return step()
}
