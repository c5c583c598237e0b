package master

import (
	"errors"

	"filbert/pkg/config"
)

// Exit statuses of master (sysexits.h), by which a supervisor decides whether
// to start it again.
const (
	ExitFailed  = 1
	ExitUsage   = 64
	ExitRunning = 75 // another master lives
	ExitConfig  = 78 // mistakes in the configuration: starting again won't help
)

// ExitStatus is the status for an error of Run.
func ExitStatus(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrRunning):
		return ExitRunning
	case errors.Is(err, config.ErrInvalid), errors.Is(err, config.ErrNoInstance):
		return ExitConfig
	}
	return ExitFailed
}
