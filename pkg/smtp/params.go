package smtp

import (
	"math"
	"strconv"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/untrusted"
)

// Extensions is the set of extensions whose parameters a command may use: what
// the server offered in this session.
type Extensions uint16

// The extensions that have parameters.
const (
	ExtSize          Extensions = 1 << iota // RFC 1870
	Ext8BitMIME                             // RFC 6152
	ExtBinaryMIME                           // RFC 3030
	ExtSMTPUTF8                             // RFC 6531; for RCPT: the MAIL command asked for it
	ExtDSN                                  // RFC 3461
	ExtAuth                                 // RFC 4954
	ExtPriority                             // RFC 6710
	ExtFutureRelease                        // RFC 4865
	ExtDeliverBy                            // RFC 2852

	// BareAddresses is no extension of the protocol: MAIL and RCPT may name a
	// local part alone, for a caller that qualifies it (RFC 6409, section 6.1).
	BareAddresses
)

// Has reports whether all of want are in e.
func (e Extensions) Has(want Extensions) bool { return e&want == want }

// Body is the BODY parameter.
type Body uint8

// The values of BODY; BodyUnset is no parameter, which means 7BIT.
const (
	BodyUnset Body = iota
	Body7Bit
	Body8BitMIME
	BodyBinaryMIME
)

// Ret is the RET parameter (RFC 3461, section 4.3).
type Ret uint8

// The values of RET; RetUnset leaves the choice to us.
const (
	RetUnset Ret = iota
	RetFull
	RetHeaders
)

// Notify is the NOTIFY parameter (RFC 3461, section 4.1), a set; zero is no
// parameter, which means failure and perhaps delay.
type Notify uint8

// The values of NOTIFY. NotifyNever stands alone.
const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// The lengths that RFC 3461 allows, encoded.
const (
	maxEnvID = 100 // RFC 3461, section 4.4
	maxORcpt = 500 // RFC 3461, section 4.2
)

// OriginalRecipient is the ORCPT parameter, decoded.
type OriginalRecipient struct {
	Type string         // in lower case: "rfc822", "utf-8", ...; "" is no parameter
	Addr untrusted.Text // printable, not empty
}

// MailParams is what MAIL says.
type MailParams struct {
	From     mailaddr.Address // null for <>
	Size     int64            // as declared; 0 is unknown
	Body     Body
	SMTPUTF8 bool
	Ret      Ret
	EnvID    untrusted.Text   // decoded, printable US-ASCII
	Auth     mailaddr.Address // AUTH=, for nobody to believe
	Priority int8             // MT-PRIORITY (RFC 6710)
	Hold     Hold             // HOLDFOR or HOLDUNTIL (RFC 4865)
	By       By               // BY (RFC 2852)
}

// RcptParams is what RCPT says.
type RcptParams struct {
	To     mailaddr.Address // without a domain for <postmaster>, or with BareAddresses
	Notify Notify
	ORcpt  OriginalRecipient
}

// ParseMail reads the argument of MAIL (RFC 5321, section 4.1.1.2).
func ParseMail(arg untrusted.Text, ext Extensions) (MailParams, *Reply) {
	var m MailParams
	addr, rest, err := parsePath(arg.ForWire(), "FROM:")
	switch {
	case err != nil:
		return m, NewReply(501, Status{5, 1, 7}, "Bad sender: "+err.Error())
	case !addr.IsNull() && addr.Domain() == "" && !ext.Has(BareAddresses):
		return m, NewReply(501, Status{5, 1, 7}, "Sender without a domain")
	}
	m.From = addr
	if r := eachParam(rest, func(key, value string) *Reply { return m.set(key, value, ext) }); r != nil {
		return m, r
	}
	if addr.NeedsUTF8() && !m.SMTPUTF8 {
		// RFC 6531, section 3.5.
		return m, NewReply(553, Status{5, 6, 7}, "Sender address needs SMTPUTF8")
	}
	return m, nil
}

// ParseRcpt reads the argument of RCPT (RFC 5321, section 4.1.1.3).
func ParseRcpt(arg untrusted.Text, ext Extensions) (RcptParams, *Reply) {
	var p RcptParams
	addr, rest, err := parsePath(arg.ForWire(), "TO:")
	switch {
	case err != nil:
		return p, NewReply(501, Status{5, 1, 3}, "Bad recipient: "+err.Error())
	case addr.IsNull():
		return p, NewReply(501, Status{5, 1, 3}, "Null recipient")
	case addr.Domain() == "" && !strings.EqualFold(addr.Local(), "postmaster") && !ext.Has(BareAddresses):
		return p, NewReply(501, Status{5, 1, 3}, "Recipient without a domain")
	case addr.NeedsUTF8() && !ext.Has(ExtSMTPUTF8):
		// RFC 6531, section 3.5.
		return p, NewReply(553, Status{5, 6, 7}, "Recipient address needs SMTPUTF8")
	}
	p.To = addr
	return p, eachParam(rest, func(key, value string) *Reply { return p.set(key, value, ext) })
}

// eachParam calls set for each parameter. A keyword may stand once (RFC 5321,
// section 4.1.1.11): which of two values would count is where two readers of
// one command begin to differ.
func eachParam(s string, set func(key, value string) *Reply) *Reply {
	seen := make([]string, 0, 8)
	for s != "" {
		var word string
		word, s, _ = strings.Cut(s, " ")
		s = strings.TrimLeft(s, " ")
		key, value, has := strings.Cut(word, "=")
		key = strings.ToUpper(key)
		if !isKeyword(key) || has && value == "" {
			return NewReply(501, Status{5, 5, 4}, "Bad parameter")
		}
		for _, k := range seen {
			if k == key {
				return NewReply(501, Status{5, 5, 4}, "Parameter "+key+" given twice")
			}
		}
		if r := set(key, value); r != nil {
			return r
		}
		seen = append(seen, key) // only known keywords come here: few
	}
	return nil
}

// isKeyword is esmtp-keyword of RFC 5321, section 4.1.2.
func isKeyword(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isAlpha(c) && (c < '0' || c > '9') && (c != '-' || i == 0) {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

func unknownParam(key string) *Reply {
	// RFC 5321, section 4.1.1.11.
	return NewReply(555, Status{5, 5, 4}, "Parameter "+key+" not supported")
}

func badValue(key string) *Reply {
	return NewReply(501, Status{5, 5, 4}, "Bad value of "+key)
}

// set takes one parameter of MAIL.
func (m *MailParams) set(key, value string, ext Extensions) *Reply {
	var r *Reply
	switch {
	case key == "SIZE" && ext.Has(ExtSize):
		m.Size, r = parseSize(value)
	case key == "BODY" && ext.Has(Ext8BitMIME):
		m.Body, r = parseBody(value, ext)
	case key == "SMTPUTF8" && ext.Has(ExtSMTPUTF8):
		m.SMTPUTF8 = true
		if value != "" {
			r = badValue(key)
		}
	case key == "RET" && ext.Has(ExtDSN):
		m.Ret, r = parseRet(value)
	case key == "ENVID" && ext.Has(ExtDSN):
		m.EnvID, r = parseEnvID(value)
	case key == "AUTH" && ext.Has(ExtAuth):
		m.Auth, r = parseAuthParam(value)
	default:
		return m.setWish(key, value, ext)
	}
	return r
}

// set takes one parameter of RCPT.
func (p *RcptParams) set(key, value string, ext Extensions) *Reply {
	var r *Reply
	switch {
	case key == "NOTIFY" && ext.Has(ExtDSN):
		p.Notify, r = parseNotify(value)
	case key == "ORCPT" && ext.Has(ExtDSN):
		p.ORcpt, r = parseORcpt(value)
	default:
		r = unknownParam(key)
	}
	return r
}

// parseSize is RFC 1870, section 4: 1 to 20 digits. What does not fit in 63
// bits fits in no mailbox either.
func parseSize(s string) (int64, *Reply) {
	if !isDigits(s) || len(s) > 20 {
		return 0, badValue("SIZE")
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > math.MaxInt64 {
		return 0, NewReply(552, Status{5, 3, 4}, "Message too big")
	}
	return int64(n), nil
}

func parseBody(s string, ext Extensions) (Body, *Reply) {
	switch strings.ToUpper(s) {
	case "7BIT":
		return Body7Bit, nil
	case "8BITMIME":
		return Body8BitMIME, nil
	case "BINARYMIME":
		if ext.Has(ExtBinaryMIME) {
			return BodyBinaryMIME, nil
		}
		return BodyUnset, NewReply(555, Status{5, 5, 4}, "BODY=BINARYMIME not supported")
	}
	return BodyUnset, badValue("BODY")
}

func parseRet(s string) (Ret, *Reply) {
	switch strings.ToUpper(s) {
	case "FULL":
		return RetFull, nil
	case "HDRS":
		return RetHeaders, nil
	}
	return RetUnset, badValue("RET")
}

func parseNotify(s string) (Notify, *Reply) {
	var set Notify
	for word := range strings.SplitSeq(s, ",") {
		var n Notify
		switch strings.ToUpper(word) {
		case "NEVER":
			n = NotifyNever
		case "SUCCESS":
			n = NotifySuccess
		case "FAILURE":
			n = NotifyFailure
		case "DELAY":
			n = NotifyDelay
		}
		if n == 0 || set&n != 0 {
			return 0, badValue("NOTIFY")
		}
		set |= n
	}
	if set&NotifyNever != 0 && set != NotifyNever {
		return 0, NewReply(501, Status{5, 5, 4}, "NOTIFY=NEVER stands alone")
	}
	return set, nil
}

func parseEnvID(s string) (untrusted.Text, *Reply) {
	if len(s) > maxEnvID {
		return untrusted.Text{}, badValue("ENVID")
	}
	id, err := DecodeXText(s)
	if err != nil {
		return untrusted.Text{}, badValue("ENVID")
	}
	return id, nil
}

// parseAuthParam checks AUTH= (RFC 4954, section 5). Nobody believes it: who
// may assert an identity is a matter of trust between servers that we lack.
func parseAuthParam(s string) (mailaddr.Address, *Reply) {
	t, err := DecodeXText(s)
	if err != nil {
		return mailaddr.Address{}, badValue("AUTH")
	}
	if t.Equal("<>") {
		return mailaddr.Address{}, nil
	}
	a, err := mailaddr.ParseLocalOrMailbox(t)
	if err != nil {
		return mailaddr.Address{}, badValue("AUTH")
	}
	return a, nil
}

// parseORcpt is RFC 3461, section 4.2, and RFC 6533, section 3.
func parseORcpt(s string) (OriginalRecipient, *Reply) {
	kind, enc, ok := strings.Cut(s, ";")
	if !ok || len(s) > maxORcpt || !isKeyword(kind) {
		return OriginalRecipient{}, badValue("ORCPT")
	}
	o := OriginalRecipient{Type: strings.ToLower(kind)}
	var err error
	var international bool
	switch o.Type {
	case "utf-8":
		o.Addr, err = decodeUnitext(enc)
	case "rfc822":
		if o.Addr, international, err = decodeUTF8XText(enc); international {
			o.Type = "utf-8" // what it is, and how it must go on
		}
	default:
		o.Addr, err = DecodeXText(enc)
	}
	if err != nil || o.Addr.IsEmpty() {
		return OriginalRecipient{}, badValue("ORCPT")
	}
	return o, nil
}
