package pickup

import "filbert/pkg/untrusted"

// mailqMode is what mailq is asked for.
type mailqMode uint8

const (
	mailqList    mailqMode = iota
	mailqTrace             // --trace ID
	mailqCancel            // --cancel ID [RECIPIENT...]
	mailqHistory           // --history [ID]
)

// mailqOptions are the long options of mailq. They are not sendmail's, whose
// options have one letter.
type mailqOptions struct {
	mode mailqMode
	id   string // of --trace and --cancel
	json bool
	mine bool // one's own in plain words, also for an administrator
	all  bool // everybody's in plain words
}

// plain tells whether the list is to be the classic one where that may be had.
func (m *mailqOptions) plain() bool { return *m == mailqOptions{} }

// long reads one long option; left is what follows it.
func (m *mailqOptions) long(word string, rest []string) (left []string, err error) {
	mode := m.mode
	switch word {
	case "--json":
		m.json = true
	case "--mine":
		m.mine = true
	case "--all":
		m.all = true
	case "--trace":
		mode = mailqTrace
	case "--cancel":
		mode = mailqCancel
	case "--history":
		mode = mailqHistory
	default:
		return nil, fail(exUsage, "there is no option %s", untrusted.From(word).ForTerminal())
	}
	if mode != m.mode && m.mode != mailqList {
		return nil, fail(exUsage, "one of --trace, --cancel and --history")
	}
	if m.mine && m.all {
		return nil, fail(exUsage, "one of --mine and --all")
	}
	m.mode = mode
	if word != "--trace" && word != "--cancel" {
		return rest, nil
	}
	var ok bool
	if m.id, rest, ok = value("", rest); !ok {
		return nil, fail(exUsage, "option %s wants a queue id", word)
	}
	return rest, nil
}
