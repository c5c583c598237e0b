package pickup

import "filbert/pkg/message"

// arity is how an option takes its value.
type arity uint8

const (
	alone    arity = iota // none: further letters are options
	valued                // the rest of the word, or the next word
	attached              // the rest of the word, which may be empty
)

// option is one letter of sendmail(1).
type option struct {
	arity arity
	set   func(o *options, value string) error
}

// lookupOption is the table of options, those of sendmail 8 and Postfix.
func lookupOption(letter byte) (option, bool) {
	switch letter {
	case 'b':
		return option{valued, (*options).setMode}, true
	case 'B':
		return option{valued, (*options).setBody}, true
	case 'e':
		return option{valued, (*options).setErrors}, true
	case 'f', 'r':
		return option{valued, (*options).setSender}, true
	case 'F':
		return option{valued, func(o *options, v string) error { o.fullName = v; return nil }}, true
	case 'G':
		return option{alone, func(o *options, _ string) error { o.gateway = true; return nil }}, true
	case 'i':
		return option{alone, func(o *options, _ string) error { o.dots = message.KeepDot; return nil }}, true
	case 'I':
		return option{alone, func(o *options, _ string) error { o.mode = modeAliases; return nil }}, true
	case 'N':
		return option{valued, (*options).setNotify}, true
	case 'o':
		return option{valued, (*options).setShort}, true
	case 'O':
		return option{valued, (*options).setLong}, true
	case 'q':
		return option{attached, (*options).setQueueRun}, true
	case 'R':
		return option{valued, (*options).setReturn}, true
	case 't':
		return option{alone, func(o *options, _ string) error { o.fromHeader = true; return nil }}, true
	case 'v':
		return option{alone, func(o *options, _ string) error { o.verbose = true; return nil }}, true
	case 'V':
		return option{valued, (*options).setEnvID}, true
	case 'X', 'D', 'Q':
		return option{valued, refused(letter)}, true
	}
	return ignoredOption(letter)
}

// ignoredOption is what sendmail has and we need not: submission agent or MTA
// (-A), configuration file (-C), case, debugging, hop count, log label, macros,
// me too, aliasing, protocol, "From " line, time-out, user submission. Programs
// give them out of habit, and break when they are refused.
func ignoredOption(letter byte) (option, bool) {
	ignore := func(*options, string) error { return nil }
	switch letter {
	case 'A', 'C', 'h', 'L', 'M', 'p', 'T':
		return option{valued, ignore}, true
	case 'd', 'E', 'J':
		return option{attached, ignore}, true
	case 'c', 'g', 'm', 'n', 's', 'U', 'x':
		return option{alone, ignore}, true
	}
	return option{}, false
}

// refused is for options that would have us write or read files of the caller's
// choice, or that ask for something whose absence must not go unnoticed.
func refused(letter byte) func(*options, string) error {
	return func(*options, string) error {
		return fail(exUsage, "option -%c is not supported", letter)
	}
}
