package localdeliver

import (
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
func fileOutcome(doing string, err error) *outcome.Outcome {
	say := func(k outcome.Kind, s smtp.Status) *outcome.Outcome {
		return deferred(k, s, "%s: %v", doing, err)
	}
	switch {
	case errors.Is(err, errShort):
		return say(outcome.Internal, statusSystem)
	case errors.Is(err, errLocked):
		return say(outcome.Locked, statusMailbox)
	case errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return say(outcome.Quota, smtp.Status{Class: 4, Subject: 2, Detail: 2})
	case errors.Is(err, syscall.ENOSPC):
		return say(outcome.DiskFull, smtp.Status{Class: 4, Subject: 3, Detail: 1})
	case errors.Is(err, errUnsafe), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ELOOP),
		errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EXDEV), errors.Is(err, syscall.ENOTDIR):
		return say(outcome.Permission, statusMailbox)
	case errors.Is(err, fs.ErrNotExist):
		return say(outcome.HomeMissing, statusHome)
	}
	return say(outcome.Internal, statusMailbox)
}
