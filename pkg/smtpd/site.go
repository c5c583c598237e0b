package smtpd

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/oldaddr"
	"filbert/pkg/pattern"
	"filbert/pkg/rewrite"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
)

// Bounds of our own, where neither an RFC nor the configuration names one.
const (
	// maxSkip is how much of an overlong command line is read to find its end.
	maxSkip = 1 << 20
	// discardSlack is how much refused content is read and thrown away beyond
	// the size of the largest message, before the connection is closed.
	discardSlack = 1 << 20
	// unlimitedDiscard takes the place of the message size where that is not limited.
	unlimitedDiscard = 64 << 20
	// dataBlock is the unit of content that a client has limits.data_timeout for.
	dataBlock = 4 << 10
)

// site is what all sessions of one listener share. It does not change.
type site struct {
	port     settings.Listen
	limits   settings.Limits
	hostname string
	local    list
	relay    list
	trusted  list
	mode     smtp.DataMode
	verify   settings.Verify
	rewrites *rewrite.Rules
	syntax   oldaddr.Syntax

	turns []turnRule

	greeting *smtp.Reply
	ehlo     *smtp.Reply
	ehloTurn *smtp.Reply // with ETRN
	helo     *smtp.Reply
}

// newSite compiles what the configuration says of one listener.
func newSite(s *settings.Settings, port settings.Listen) (*site, error) {
	port = port.Complete()
	e := &site{port: port, limits: s.Limits, hostname: s.Hostname, verify: s.Verify}
	for _, step := range []func(*settings.Settings) error{e.compileLists, e.compileRules, e.checkPort} {
		if err := step(s); err != nil {
			return nil, fmt.Errorf("listener %s: %w", port.Name, err)
		}
	}
	e.greet()
	return e, nil
}

// compileLists makes the lists of domains and networks ready.
func (e *site) compileLists(s *settings.Settings) error {
	local := s.Domains.Local
	if len(local) == 0 {
		local = []string{s.Hostname, "localhost"}
	}
	trusted := s.Domains.Trusted
	if e.port.Trusted != nil {
		trusted = e.port.Trusted
	}
	for _, l := range []struct {
		name     string
		patterns []string
		kind     pattern.Kind
		into     *list
	}{
		{"domains.local", local, pattern.Domains, &e.local},
		{"domains.relay", s.Domains.Relay, pattern.Domains, &e.relay},
		{"trusted networks", trusted, pattern.Networks, &e.trusted},
	} {
		asking, err := pattern.CompileAsking(l.patterns, l.kind)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		*l.into = newList(asking)
	}
	return nil
}

// compileRules makes ready what says how addresses are read and changed, and who may ask
// for his mail.
func (e *site) compileRules(s *settings.Settings) (err error) {
	if e.rewrites, err = rewrite.Compile(s.Rewrites, s.Transports); err != nil {
		return err
	}
	if e.turns, err = newTurnRules(s.ETRN); err != nil {
		return err
	}
	e.syntax, err = oldaddr.Parse(s.Domains.Syntax)
	return err
}

// checkPort takes in what is the listener's own.
func (e *site) checkPort(*settings.Settings) error {
	port := &e.port
	switch port.BareNewline {
	case "refuse":
		e.mode = smtp.KeepLineEnds
	case "normalize":
		e.mode = smtp.NormalizeLineEnds
	default:
		return fmt.Errorf("bare_newline %q: refuse or normalize is wanted", port.BareNewline)
	}
	if port.Qualify != "" {
		if _, err := mailaddr.New("x", port.Qualify); err != nil {
			return fmt.Errorf("qualify %q: %w", port.Qualify, err)
		}
	}
	return nil
}

// greet makes the replies that are the same for every client.
func (e *site) greet() {
	banner := e.hostname + " ESMTP"
	if e.port.Banner != "" {
		banner += " " + e.port.Banner
	}
	e.greeting = smtp.NewReply(220, smtp.Status{}, banner)
	e.helo = smtp.NewReply(250, smtp.Status{}, e.hostname)
	e.ehlo = smtp.NewReply(250, smtp.Status{},
		e.hostname,
		"PIPELINING",
		fmt.Sprintf("SIZE %d", max(0, e.limits.MessageSize)), // 0: no limit (RFC 1870, section 3)
		"8BITMIME",
		"ENHANCEDSTATUSCODES",
		"CHUNKING",
		"SMTPUTF8",
		"DSN",
		e.offerPriority(),
		e.offerDeliverBy(),
		"HELP",
	)
	e.ehloTurn = smtp.NewReply(250, smtp.Status{}, append(slices.Clone(e.ehlo.Lines), "ETRN")...)
}

// offered are the extensions whose parameters a client may use after EHLO.
const offered = smtp.ExtSize | smtp.Ext8BitMIME | smtp.ExtSMTPUTF8 | smtp.ExtDSN | smtp.ExtPriority | smtp.ExtDeliverBy

// qualify gives a bare address the listener's domain, where it has one; without
// one the parser has refused bare addresses.
func (e *site) qualify(a mailaddr.Address) (mailaddr.Address, *smtp.Reply) {
	if a.IsNull() || a.Domain() != "" {
		return a, nil
	}
	full, err := a.WithDomain(e.port.Qualify)
	if err != nil {
		return a, smtp.NewReply(501, smtp.Status{Class: 5, Subject: 1, Detail: 3}, "Address without a domain")
	}
	return full, nil
}

// isPostmaster tells the one address that needs no domain and gets none (RFC
// 5321, section 4.5.1): it is this machine's postmaster, wherever that is.
func isPostmaster(a mailaddr.Address) bool {
	return a.Domain() == "" && strings.EqualFold(a.Local(), "postmaster")
}

// tooBig tells whether a message that has some octets goes over the limit with
// some more. Both may be anything that is not negative.
func (e *site) tooBig(has, more int64) bool {
	limit := e.limits.MessageSize.Bytes()
	if limit <= 0 {
		limit = math.MaxInt64
	}
	return more > limit-min(has, limit)
}

// maxDiscard bounds what is read of refused content.
func (e *site) maxDiscard() int64 {
	if e.limits.MessageSize <= 0 {
		return unlimitedDiscard
	}
	return e.limits.MessageSize.Bytes() + discardSlack
}

// byteTime is how long a client may take for one octet when it is in debt.
func (e *site) byteTime() time.Duration {
	return time.Second / time.Duration(max(1, e.port.MinRate.Bytes()))
}
