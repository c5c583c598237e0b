package ipc

import (
	"errors"
	"fmt"
)

// ErrGone is in the chain of every error that means: the peer went away, or
// could not be reached, before it answered. What became of the call is not
// known. Errors that wrap it have Temporary() true.
var ErrGone = errors.New("peer is gone")

// ErrProtocol is in the chain of every error that means: the peer sent what
// no correct peer sends. The connection has been closed.
var ErrProtocol = errors.New("protocol violation")

// ErrTooBig means that a message is larger than the peer accepts. Nothing was
// sent and the connection goes on.
var ErrTooBig = errors.New("message is larger than the peer accepts")

// goneError says why the peer is gone.
type goneError struct{ cause error }

func gone(cause error) error {
	if errors.Is(cause, ErrGone) {
		return cause
	}
	return &goneError{cause}
}

func (e *goneError) Error() string {
	if e.cause == nil {
		return ErrGone.Error()
	}
	return fmt.Sprintf("%v: %v", ErrGone, e.cause)
}

// Unwrap lets errors.Is find both ErrGone and the cause.
func (e *goneError) Unwrap() []error {
	if e.cause == nil {
		return []error{ErrGone}
	}
	return []error{ErrGone, e.cause}
}

// Temporary is true: another connection may do better.
func (e *goneError) Temporary() bool { return true }

// RemoteError is a call refused by the peer's handler (Call.Refuse).
type RemoteError struct {
	Text string // the peer's words, for the log; at most maxRefusal bytes
}

func (e *RemoteError) Error() string { return "refused: " + e.Text }

// Is lets errors.Is find errStopping.
func (e *RemoteError) Is(target error) bool {
	return target == errStopping && e.Text == errStopping.Error()
}

// Temporary is true: a service that means to fail something for good says so
// in its reply, where the protocol has a word for it.
func (e *RemoteError) Temporary() bool { return true }

func violation(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}
