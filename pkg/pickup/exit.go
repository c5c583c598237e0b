package pickup

import (
	"errors"
	"fmt"
)

// Exit statuses of sysexits.h, by which callers such as mutt and cron decide
// what to tell their users.
const (
	exOK          = 0
	exUsage       = 64
	exDataErr     = 65
	exNoInput     = 66
	exNoUser      = 67
	exUnavailable = 69
	exOSErr       = 71
	exIOErr       = 74
	exTempFail    = 75
	exNoPerm      = 77
)

// failure is an error that knows its exit status. Its text is for the caller's
// standard error and has nothing in it that a terminal would obey.
type failure struct {
	status int
	text   string
	down   bool // because the suite is
}

func (f *failure) Error() string { return f.text }

func fail(status int, format string, args ...any) error {
	return &failure{status: status, text: fmt.Sprintf(format, args...)}
}

// statusOf is the exit status that an error means. What nobody foresaw may be
// gone the next time.
func statusOf(err error) int {
	var f *failure
	switch {
	case err == nil:
		return exOK
	case errors.As(err, &f):
		return f.status
	}
	return exTempFail
}
