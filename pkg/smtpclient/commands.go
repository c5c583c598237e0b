package smtpclient

import (
	"strconv"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/smtp"
)

// The lengths that RFC 3461, sections 4.2 and 4.4, allow, encoded.
const (
	maxORcpt = 500
	maxEnvID = 100
)

// appendMail writes MAIL with the parameters that the plan allows (RFC 5321,
// section 4.1.1.2).
func (p *plan) appendMail(dst []byte) []byte {
	dst = append(dst, "MAIL FROM:"...)
	dst = p.appendPath(dst, p.sender)
	if p.size > 0 {
		dst = strconv.AppendInt(append(dst, " SIZE="...), p.size, 10) // RFC 1870, section 6
	}
	switch {
	case p.binary:
		dst = append(dst, " BODY=BINARYMIME"...) // RFC 3030, section 3
	case p.eightBit:
		dst = append(dst, " BODY=8BITMIME"...) // RFC 6152, section 2
	}
	if p.utf8 {
		dst = append(dst, " SMTPUTF8"...) // RFC 6531, section 3.4
	}
	if p.dsn {
		dst = p.appendReturn(dst)
	}
	if p.saysHow {
		dst = strconv.AppendInt(append(dst, " MT-PRIORITY="...), int64(p.priority), 10) // RFC 6710, section 4.2
	}
	if p.by != "" {
		dst = append(append(dst, " BY="...), p.by...) // RFC 2852, section 4.1.4
	}
	return append(dst, '\r', '\n')
}

// appendReturn writes RET and ENVID (RFC 3461, sections 4.3 and 4.4).
func (p *plan) appendReturn(dst []byte) []byte {
	switch p.ret {
	case envelope.ReturnFull:
		dst = append(dst, " RET=FULL"...)
	case envelope.ReturnHeaders:
		dst = append(dst, " RET=HDRS"...)
	case envelope.ReturnUnstated:
	}
	if p.envID.IsEmpty() {
		return dst
	}
	if id := smtp.EncodeXText(p.envID.ForWire()); len(id) <= maxEnvID {
		dst = append(append(dst, " ENVID="...), id...)
	}
	return dst
}

// appendRcpt writes RCPT (RFC 5321, section 4.1.1.3).
func (p *plan) appendRcpt(dst []byte, r *envelope.Recipient) []byte {
	dst = append(dst, "RCPT TO:"...)
	dst = p.appendPath(dst, r.Address)
	if p.dsn {
		dst = appendNotify(dst, p.notify(r.Notify))
		dst = appendORcpt(dst, r)
	}
	return append(dst, '\r', '\n')
}

// appendTo writes RCPT without parameters: nothing is to be delivered.
func (p *plan) appendTo(dst []byte, a mailaddr.Address) []byte {
	return append(p.appendPath(append(dst, "RCPT TO:"...), a), '\r', '\n')
}

// notify is what a server is told of what the sender wants to hear.
func (p *plan) notify(n envelope.Notify) envelope.Notify {
	switch {
	case !p.delay || n.Has(envelope.NotifyNever):
		return n
	case n == 0:
		return envelope.NotifyFailure | envelope.NotifyDelay
	}
	return n | envelope.NotifyDelay
}

// appendNotify writes NOTIFY (RFC 3461, section 4.1).
func appendNotify(dst []byte, n envelope.Notify) []byte {
	if n == 0 {
		return dst
	}
	dst = append(dst, " NOTIFY="...)
	if n.Has(envelope.NotifyNever) {
		return append(dst, "NEVER"...)
	}
	first := true
	for _, word := range []struct {
		n    envelope.Notify
		name string
	}{{envelope.NotifySuccess, "SUCCESS"}, {envelope.NotifyFailure, "FAILURE"}, {envelope.NotifyDelay, "DELAY"}} {
		if !n.Has(word.n) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		dst = append(dst, word.name...)
		first = false
	}
	return dst
}

// appendORcpt writes ORCPT (RFC 3461, section 4.2; RFC 6533, section 3). The
// type comes from a client and is written as it is, so it must be a word.
func appendORcpt(dst []byte, r *envelope.Recipient) []byte {
	if r.Orig.IsEmpty() || !isWord(r.OrigType) {
		return dst
	}
	addr := ""
	if r.OrigType == "utf-8" {
		addr = smtp.EncodeUnitext(r.Orig.ForWire())
	} else {
		addr = smtp.EncodeXText(r.Orig.ForWire())
	}
	if len(r.OrigType)+1+len(addr) > maxORcpt {
		return dst
	}
	dst = append(append(dst, " ORCPT="...), r.OrigType...)
	return append(append(dst, ';'), addr...)
}

func isWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != ""
}

// appendPath writes an address. To a server without SMTPUTF8 a domain goes as
// DNS knows it; that the local part is US-ASCII then, fit has seen to.
func (p *plan) appendPath(dst []byte, a mailaddr.Address) []byte {
	if !p.utf8 && a.NeedsUTF8() {
		a = asciiAddress(a)
	}
	return append(append(append(dst, '<'), a.String()...), '>')
}

// asciiAddress is a with its domain in A-labels (RFC 5891), or a itself.
func asciiAddress(a mailaddr.Address) mailaddr.Address {
	domain, err := a.ASCIIDomain()
	if err != nil {
		return a
	}
	b, err := a.WithDomain(domain)
	if err != nil {
		return a
	}
	return b
}
