package mtactl

import (
	"errors"
	"fmt"
)

// The exit statuses of sysexits(3) that are used.
const (
	exOK          = 0
	exFindings    = 1
	exUsage       = 64
	exDataErr     = 65
	exNoInput     = 66
	exUnavailable = 69
	exSoftware    = 70
	exCantCreate  = 73
	exIOErr       = 74
	exTempFail    = 75
	exNoPerm      = 77
	exConfig      = 78
)

// failure is an error with what to do about it and the exit status.
type failure struct {
	code int
	what string
	hint string
	err  error // the cause; may be nil
	// told: what says it all, the cause is for errors.Is and As alone.
	told bool
}

func (f *failure) Error() string {
	if f.err == nil || f.told {
		return f.what
	}
	return f.what + ": " + f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

func fail(code int, hint, format string, args ...any) *failure {
	return &failure{code: code, what: fmt.Sprintf(format, args...), hint: hint}
}

// because adds a cause.
func (f *failure) because(err error) *failure {
	f.err = err
	return f
}

// marked adds a cause that is not shown.
func (f *failure) marked(err error) *failure {
	f.err, f.told = err, true
	return f
}

// errSilent ends a command with a status after it has said everything.
type errSilent int

func (e errSilent) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// exitCode is the status for an error of a command.
func exitCode(err error) int {
	var f *failure
	var s errSilent
	switch {
	case err == nil:
		return exOK
	case errors.As(err, &s):
		return int(s)
	case errors.As(err, &f):
		return f.code
	}
	return exUsage // cobra's own: unknown commands and flags
}
