package pickup

import (
	"strings"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/message"
	"filbert/pkg/untrusted"
)

// mode is what a call is for.
type mode uint8

const (
	modeDeliver  mode = iota // -bm: take a message
	modeRmail                // the same under the name rmail
	modeSMTP                 // -bs
	modeList                 // -bp, mailq
	modeAliases              // -bi, newaliases
	modeVerify               // -bv
	modeQueueRun             // -q
	modeDrain                // --drain: master's
)

// maxEnvID is RFC 3461, section 4.4.
const maxEnvID = 100

// options is what the command line says.
type options struct {
	mode       mode
	instance   string // DIR of a leading -C
	fromHeader bool
	dots       message.DotMode
	sender     *mailaddr.Address // nil: the caller; without a domain where none was given
	fullName   string
	notify     envelope.Notify
	ret        envelope.Return
	envID      string
	body       envelope.Body
	gateway    bool
	verbose    bool
	silent     bool // -oeq: no words on standard error
	run        string
	hold       hold
	mailq      mailqOptions
	operands   []string
}

// drainFlag is how master calls us; no letter of sendmail's is like it.
const drainFlag = "--drain"

// parseOptions reads the arguments of a program of that name.
func parseOptions(program string, args []string) (*options, error) {
	o := &options{dots: message.DotEnds}
	switch program {
	case "mailq":
		o.mode = modeList
	case "newaliases":
		o.mode = modeAliases
	case "rmail":
		o.mode, o.dots = modeRmail, message.KeepDot
	}
	if len(args) > 0 && args[0] == drainFlag {
		o.mode, args = modeDrain, args[1:]
	}
	if len(args) > 0 && strings.HasPrefix(args[0], "-C") {
		var ok bool
		if o.instance, args, ok = value(args[0][2:], args[1:]); !ok {
			return nil, fail(exUsage, "option -C wants a directory")
		}
	}
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if word == "--" {
			o.operands = append(o.operands, args...)
			break
		}
		if len(word) < 2 || word[0] != '-' {
			o.operands = append(o.operands, word)
			continue
		}
		var err error
		if args, err = o.word(word, args); err != nil {
			return nil, err
		}
	}
	if err := o.checkHold(); err != nil {
		return nil, err
	}
	return o, nil
}

// word reads one word of option letters and, if its last one wants a value that
// is not in it, the next.
func (o *options) word(word string, rest []string) ([]string, error) {
	if strings.HasPrefix(word, "--") && o.mode == modeList {
		return o.mailq.long(word, rest)
	}
	if strings.HasPrefix(word, "--") {
		return o.hold.long(word, rest)
	}
	for i := 1; i < len(word); i++ {
		opt, known := lookupOption(word[i])
		tail := word[i+1:]
		switch {
		case !known:
			return nil, fail(exUsage, "there is no option -%s", untrusted.From(word[i:i+1]).ForTerminal())
		case opt.arity == alone:
			if err := opt.set(o, ""); err != nil {
				return nil, err
			}
			continue
		case opt.arity == attached:
			return rest, opt.set(o, tail)
		}
		val, rest, ok := value(tail, rest)
		if !ok {
			return nil, fail(exUsage, "option -%c wants a value", word[i])
		}
		return rest, opt.set(o, val)
	}
	return rest, nil
}

// value takes an option's value from the tail of its word or from the next.
func value(tail string, rest []string) (val string, left []string, ok bool) {
	switch {
	case tail != "":
		return tail, rest, true
	case len(rest) > 0:
		return rest[0], rest[1:], true
	}
	return "", nil, false
}

func (o *options) setMode(v string) error {
	switch v {
	case "m":
		o.mode = modeDeliver
	case "s":
		o.mode = modeSMTP
	case "p":
		o.mode = modeList
	case "i":
		o.mode = modeAliases
	case "v":
		o.mode = modeVerify
	case "d", "D", "l":
		return fail(exUsage, "the daemon is not started this way: run \"mtactl start\" (or your system's service manager)")
	case "h", "H":
		return fail(exUsage, "host status is not kept in files here: \"mtactl queue list\" tells why mail waits")
	case "t":
		return fail(exUsage, "there is no test mode: \"mtactl explain ADDRESS\" shows what becomes of an address")
	default:
		return fail(exUsage, "mode -b%s is not supported", untrusted.From(v).ForTerminal())
	}
	return nil
}

func (o *options) setBody(v string) error {
	switch strings.ToUpper(v) {
	case "7BIT":
		o.body = envelope.Body7Bit
	case "8BITMIME":
		o.body = envelope.Body8BitMIME
	default:
		return fail(exUsage, "option -B: 7BIT or 8BITMIME is wanted")
	}
	return nil
}

// setErrors is -e and -oe: where errors are told. They go to standard error and
// the exit status whatever is asked for, as every caller looks at one of these;
// only q silences the words.
func (o *options) setErrors(v string) error {
	if v != "" && !strings.ContainsRune("empqwb", rune(v[0])) {
		return fail(exUsage, "option -e: one of e, m, p, q, w is wanted")
	}
	o.silent = strings.HasPrefix(v, "q")
	return nil
}

// setSender is -f: an address with or without angle brackets, a local part, or
// nothing for the null sender.
func (o *options) setSender(v string) error {
	v = strings.TrimSpace(v)
	if inner, ok := strings.CutPrefix(v, "<"); ok && strings.HasSuffix(inner, ">") {
		v = strings.TrimSuffix(inner, ">")
	}
	o.sender = new(mailaddr.Address)
	if v == "" {
		return nil
	}
	list, err := mailaddr.ParseList(untrusted.From(v))
	if err != nil || len(list) != 1 {
		return fail(exUsage, "option -f: no address: %s", untrusted.From(v).ForTerminal())
	}
	*o.sender = list[0].Address
	return nil
}

func (o *options) setNotify(v string) error {
	o.notify = 0
	for word := range strings.SplitSeq(strings.ToLower(v), ",") {
		switch strings.TrimSpace(word) {
		case "never":
			o.notify |= envelope.NotifyNever
		case "success":
			o.notify |= envelope.NotifySuccess
		case "failure":
			o.notify |= envelope.NotifyFailure
		case "delay":
			o.notify |= envelope.NotifyDelay
		default:
			return fail(exUsage, "option -N: never, or some of success,failure,delay is wanted")
		}
	}
	if o.notify.Has(envelope.NotifyNever) && o.notify != envelope.NotifyNever {
		return fail(exUsage, "option -N: never stands alone") // RFC 3461, section 4.1
	}
	return nil
}

func (o *options) setReturn(v string) error {
	switch strings.ToLower(v) {
	case "full":
		o.ret = envelope.ReturnFull
	case "hdrs":
		o.ret = envelope.ReturnHeaders
	default:
		return fail(exUsage, "option -R: full or hdrs is wanted")
	}
	return nil
}

// setEnvID takes the text itself, not xtext (RFC 3461, section 4.4).
func (o *options) setEnvID(v string) error {
	if v == "" || len(v) > maxEnvID {
		return fail(exUsage, "option -V: 1 to %d characters are wanted", maxEnvID)
	}
	for i := range len(v) {
		if v[i] <= ' ' || v[i] > '~' {
			return fail(exUsage, "option -V: printable characters without spaces are wanted")
		}
	}
	o.envID = v
	return nil
}

// setShort is -o with a letter and its value: sendmail's options of old.
func (o *options) setShort(v string) error {
	switch {
	case strings.HasPrefix(v, "i"):
		o.setDots(v[1:])
	case strings.HasPrefix(v, "e"):
		return o.setErrors(v[1:])
	case v == "t":
		o.fromHeader = true
	}
	return nil
}

// setLong is -O Name=value.
func (o *options) setLong(v string) error {
	name, val, _ := strings.Cut(v, "=")
	switch strings.ToLower(name) {
	case "ignoredots":
		o.setDots(val)
	case "errormode":
		return o.setErrors(val)
	case "requiretls":
		if !strings.EqualFold(val, "no") {
			// A promise that is not kept must not look like one that is.
			return fail(exUsage, "option -O requiretls is not supported")
		}
	}
	return nil
}

// setDots follows sendmail's way to say true: anything but f, n and 0.
func (o *options) setDots(v string) {
	o.dots = message.KeepDot
	if v != "" && strings.ContainsRune("fFnN0", rune(v[0])) {
		o.dots = message.DotEnds
	}
}

// setQueueRun is -q: now, or with a time what a daemon would do, which ours do
// by themselves.
func (o *options) setQueueRun(v string) error {
	o.mode, o.run = modeQueueRun, v
	if v != "" && strings.ContainsRune("RSGQ!", rune(v[0])) {
		return fail(exUsage, "option -q%s is not supported: see \"mtactl queue retry\"", untrusted.From(v[:1]).ForTerminal())
	}
	return nil
}
