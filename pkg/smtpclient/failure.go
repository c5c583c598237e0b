package smtpclient

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"filbert/pkg/outcome"
	"filbert/pkg/quirk"
	"filbert/pkg/smtp"
)

// errEarly is the error of finding octets of the server where none were due:
// what they would be taken for is the reply to a command that the server had
// not seen when it sent them.
var errEarly = fmt.Errorf("%w: octets before they were due", smtp.ErrProtocol)

// A failure is why a session ended before its time. The outcome is for every
// recipient that was still owed an answer.
type failure struct {
	out   outcome.Outcome
	cause error
	seen  *quirk.Seen // what the server has shown all the same; nil: nothing
}

// Error names what was being done.
func (f *failure) Error() string {
	if f.cause == nil {
		return string(f.out.Kind)
	}
	return f.cause.Error()
}

// Unwrap gives the cause.
func (f *failure) Unwrap() error { return f.cause }

// kindOf tells the ways apart in which a connection fails.
func kindOf(err error) outcome.Kind {
	var ne net.Error
	switch {
	case errors.Is(err, smtp.ErrProtocol):
		return outcome.Protocol
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &ne) && ne.Timeout(), errors.Is(err, syscall.ETIMEDOUT):
		return outcome.TimedOut
	case isAny(err, syscall.ECONNREFUSED, syscall.ENOENT):
		return outcome.Refused
	case isAny(err, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN,
		syscall.EADDRNOTAVAIL, syscall.EACCES, syscall.EPERM, syscall.EINVAL, syscall.EAFNOSUPPORT):
		// The last five are what routes that blackhole or prohibit, no port that is
		// left, and a machine without IPv6 give.
		return outcome.Unreachable
	case isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM):
		return outcome.Busy
	}
	return outcome.LostConnection
}

func isAny(err error, targets ...syscall.Errno) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

// statusOf is the enhanced status of a kind of connection trouble (RFC 3463,
// sections 3.4 to 3.6).
func statusOf(k outcome.Kind) smtp.Status {
	switch k {
	case outcome.Protocol:
		return smtp.Status{Class: 4, Subject: 5, Detail: 0}
	case outcome.Refused, outcome.Unreachable:
		return smtp.Status{Class: 4, Subject: 4, Detail: 1}
	case outcome.Busy, outcome.Internal:
		return smtp.Status{Class: 4, Subject: 3, Detail: 0}
	case outcome.TLS:
		return smtp.Status{Class: 4, Subject: 7, Detail: 5}
	case outcome.Auth:
		return smtp.Status{Class: 4, Subject: 7, Detail: 8} // RFC 4954, section 6, for the moment
	}
	return smtp.Status{Class: 4, Subject: 4, Detail: 2}
}

// connectionFailure is a failure that the server had no words for.
func connectionFailure(t *target, err error, doing string) *failure {
	kind := kindOf(err)
	if from := t.source(); from.IsValid() && errors.Is(err, syscall.EADDRNOTAVAIL) {
		// That says nothing of the server: mail from other addresses may go there.
		return &failure{
			out: outcome.Defer(outcome.Internal, statusOf(outcome.Internal),
				"%s: can't be reached from %s (source_addresses), which is no address of this machine now, or has no port left", t.label(), from.Addr()),
			cause: fmt.Errorf("%s: %s from %s: %w", t.label(), doing, from.Addr(), err),
		}
	}
	status := statusOf(kind)
	if kind == outcome.TimedOut && doing == connecting {
		status = statusOf(outcome.Unreachable) // no answer, rather than a bad connection
	}
	return &failure{
		out:   outcome.Defer(kind, status, "%s: %s while %s", t.label(), sayError(err), doing),
		cause: fmt.Errorf("%s: %s: %w", t.label(), doing, err),
	}
}

const connecting = "connecting"

// sayError puts an error in the few words that a postmaster wants.
func sayError(err error) string {
	switch k := kindOf(err); {
	case k == outcome.TimedOut:
		return "timed out"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case k == outcome.LostConnection:
		return "connection lost"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // without the addresses, which are named once already
	}
	return err.Error()
}
