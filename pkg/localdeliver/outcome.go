package localdeliver

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// Enhanced status codes of what is deferred (RFC 3463).
var (
	statusConfig  = smtp.Status{Class: 4, Subject: 3, Detail: 5} // system incorrectly configured
	statusSystem  = smtp.Status{Class: 4, Subject: 3, Detail: 0} // other mail system trouble
	statusMailbox = smtp.Status{Class: 4, Subject: 2, Detail: 0} // other mailbox trouble
	statusHome    = smtp.Status{Class: 4, Subject: 2, Detail: 1} // mailbox not accepting messages
)

func deferred(k outcome.Kind, s smtp.Status, format string, args ...any) *outcome.Outcome {
	o := outcome.Defer(k, s, format, args...)
	return &o
}

func failed(k outcome.Kind, s smtp.Status, format string, args ...any) *outcome.Outcome {
	o := outcome.Fail(k, s, format, args...)
	return &o
}

func delivered(text string) outcome.Outcome {
	return outcome.Outcome{Class: outcome.Delivered, Status: smtp.Status{Class: 2, Subject: 0, Detail: 0},
		Text: untrusted.From(text)}
}

// fileOutcome says what an error of the file system means for the recipient:
// never that the mail is returned, as somebody can repair all of them.
//
// The codes tell the sender's side whose trouble it is (RFC 3463, sections 3.3 and
// 3.4): X.2.x one mailbox's, X.3.x this machine's. A home that is not there is
// 4.2.1, "mailbox disabled, not accepting messages", which is a mailbox that exists
// and takes nothing for now; 4.3.0 would say of all users what is true for one.
func fileOutcome(doing string, err error) *outcome.Outcome {
	say := func(k outcome.Kind, s smtp.Status, words string) *outcome.Outcome {
		return deferred(k, s, "%s: %s: %v", doing, words, err)
	}
	switch {
	case errors.Is(err, errShort), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return deferred(outcome.Internal, statusSystem, "%s: %v", doing, err)
	case errors.Is(err, errLocked):
		return deferred(outcome.Locked, statusMailbox, "%s: %v", doing, err)
	case errors.Is(err, syscall.EDQUOT):
		return say(outcome.Quota, statusFull, "the user's disk quota on this machine is used up")
	case errors.Is(err, syscall.EFBIG):
		return say(outcome.Quota, statusFull, "the mailbox is as large as a file may be here")
	case errors.Is(err, syscall.ENOSPC):
		return say(outcome.DiskFull, statusDiskFull, "the file system is full")
	case errors.Is(err, errUnsafe):
		return deferred(outcome.Permission, statusMailbox, "%s: %v", doing, err)
	case errors.Is(err, syscall.EROFS):
		return say(outcome.Permission, statusMailbox, "the file system can only be read")
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.EXDEV), errors.Is(err, syscall.ENOTDIR):
		return say(outcome.Permission, statusMailbox, "the mailbox may not be written to")
	case errors.Is(err, fs.ErrNotExist):
		return say(outcome.HomeMissing, statusHome, "the directory is not there")
	case isAway(err):
		return say(outcome.HomeMissing, statusHome, "the file server is away")
	}
	return deferred(outcome.Internal, statusMailbox, "%s: %v", doing, err)
}

// isAway tells the errors of network file systems whose server does not answer,
// or has forgotten us.
func isAway(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.ESTALE, syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.ENETUNREACH,
		syscall.ENOTCONN, syscall.ECONNREFUSED, syscall.ETIMEDOUT, syscall.EREMOTEIO,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
