package smtp

import (
	"strconv"
	"strings"
	"time"
)

// The parameters of MAIL by which a sender says how soon, when and before what time a
// message is to be delivered.

// Hold is when a message may be released (RFC 4865, section 3). At most one of both is set.
type Hold struct {
	For   time.Duration // HOLDFOR
	Until time.Time     // HOLDUNTIL
}

// IsZero tells that nothing was asked for.
func (h Hold) IsZero() bool { return h == Hold{} }

// By is the BY parameter (RFC 2852, section 4).
type By struct {
	Mode  byte          // 'R', 'N', or 0: none
	In    time.Duration // from now; with N it may be over already
	Trace bool          // T
}

// setWish takes one of these parameters.
func (m *MailParams) setWish(key, value string, ext Extensions) *Reply {
	var r *Reply
	switch {
	case key == "MT-PRIORITY" && ext.Has(ExtPriority):
		m.Priority, r = parsePriority(value)
	case (key == "HOLDFOR" || key == "HOLDUNTIL") && ext.Has(ExtFutureRelease):
		if !m.Hold.IsZero() {
			// RFC 4865, section 4.2: one hold parameter in a command.
			return NewReply(501, Status{5, 5, 4}, "HOLDFOR and HOLDUNTIL exclude each other")
		}
		m.Hold, r = parseHold(key, value)
	case key == "BY" && ext.Has(ExtDeliverBy):
		m.By, r = parseBy(value)
	default:
		r = unknownParam(key)
	}
	return r
}

// parsePriority is priority-value of RFC 6710, section 7: -9 to 9, without a plus sign
// and without a zero in front. What is none gets the code of section 4.1.
func parsePriority(s string) (int8, *Reply) {
	digit, negative := strings.CutPrefix(s, "-")
	if len(digit) != 1 || digit[0] < '0' || digit[0] > '9' || negative && digit == "0" {
		return 0, NewReply(501, Status{5, 5, 2}, "Bad value of MT-PRIORITY")
	}
	n := int8(digit[0] - '0')
	if negative {
		n = -n
	}
	return n, nil
}

// maxSeconds is how many digits a time in seconds has (RFC 4865, section 3; RFC 2852,
// section 4).
const maxSeconds = 9

// parseSeconds reads 1*9DIGIT.
func parseSeconds(s string) (time.Duration, bool) {
	if !isDigits(s) || len(s) > maxSeconds {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return time.Duration(n) * time.Second, err == nil
}

// parseHold is hold-param of RFC 4865, section 3. A date and time is that of RFC 3339,
// section 5.6, in capitals (erratum 2040); "the message should wait for nothing" has no
// way of writing, so an interval of 0 is a mistake.
func parseHold(key, s string) (Hold, *Reply) {
	if key == "HOLDFOR" {
		d, ok := parseSeconds(s)
		if !ok || s[0] == '0' {
			return Hold{}, badValue(key)
		}
		return Hold{For: d}, nil
	}
	// By time.Parse some are good that RFC 3339 does not have: "T1:00:00Z", "10:00:00,5Z".
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || s[len("2026-01-01T00")] != ':' || strings.Contains(s, ",") || t.Year() < 1970 || len(s) > len("2026-01-01T00:00:00.000000+00:00") {
		return Hold{}, badValue(key)
	}
	return Hold{Until: t.UTC()}, nil
}

// parseBy is by-value of RFC 2852, section 4: seconds with or without a sign, a
// semicolon, R or N, perhaps T. Zero and below are good with N only.
func parseBy(s string) (By, *Reply) {
	text, mode, ok := strings.Cut(s, ";")
	digits := strings.TrimLeft(text, "+-")
	in, good := parseSeconds(digits)
	if !ok || !good || len(text) > len(digits)+1 {
		return By{}, badValue("BY")
	}
	if text[0] == '-' {
		in = -in
	}
	by := By{In: in}
	switch strings.ToUpper(mode) {
	case "R", "RT":
		if by.Mode = 'R'; in <= 0 {
			return By{}, NewReply(501, Status{5, 5, 4}, "BY with mode R needs a time that is not over")
		}
	case "N", "NT":
		by.Mode = 'N'
	default:
		return By{}, badValue("BY")
	}
	by.Trace = len(mode) == 2
	return by, nil
}
