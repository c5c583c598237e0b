package smtp

import (
	"strconv"
	"strings"
	"time"
)

// Capabilities is what a server offers in its answer to EHLO or LHLO (RFC
// 5321, section 4.1.1.1), as far as we know what it means.
type Capabilities struct {
	Extensions   Extensions
	MaxSize      int64 // of SIZE; 0 is none known
	Pipelining   bool  // RFC 2920
	StartTLS     bool  // RFC 3207
	Chunking     bool  // RFC 3030
	StatusCodes  bool  // RFC 2034
	RequireTLS   bool  // RFC 8689
	AuthMethods  []string
	ByMin        time.Duration // of DELIVERBY: the least for mode R (RFC 2852, section 2); 0 is none known
	LimitsRcpts  int           // RCPTMAX of LIMITS (RFC 9422); 0 is none known
	LimitsMails  int           // MAILMAX
	LimitsDomain int           // RCPTDOMAINMAX
}

// maxAuthMethods bounds what we remember of an AUTH line.
const maxAuthMethods = 32

// ParseCapabilities reads a successful answer to EHLO. It never fails: what it
// does not understand is not offered.
func ParseCapabilities(r ServerReply) Capabilities {
	var c Capabilities
	first := true
	for line := range strings.SplitSeq(r.Text.ForWire(), "\n") {
		if first { // the server's name and greeting
			first = false
			continue
		}
		keyword, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		c.add(strings.ToUpper(keyword), strings.Fields(args))
	}
	return c
}

func (c *Capabilities) add(keyword string, args []string) {
	switch keyword {
	case "SIZE":
		c.Extensions |= ExtSize
		if len(args) == 1 && isDigits(args[0]) {
			// Past 63 bits it means no limit as well.
			if n, err := strconv.ParseInt(args[0], 10, 64); err == nil {
				c.MaxSize = n
			}
		}
	case "8BITMIME":
		c.Extensions |= Ext8BitMIME
	case "BINARYMIME":
		c.Extensions |= ExtBinaryMIME
	case "SMTPUTF8":
		c.Extensions |= ExtSMTPUTF8
	case "DSN":
		c.Extensions |= ExtDSN
	case "AUTH":
		c.Extensions |= ExtAuth
		for _, m := range args {
			if isMechanism(m) && len(c.AuthMethods) < maxAuthMethods {
				c.AuthMethods = append(c.AuthMethods, strings.ToUpper(m))
			}
		}
	case "MT-PRIORITY":
		c.Extensions |= ExtPriority
	case "DELIVERBY":
		c.Extensions |= ExtDeliverBy
		if len(args) > 0 {
			least, _, _ := strings.Cut(args[0], ",") // options of later documents may follow
			c.ByMin, _ = parseSeconds(least)
		}
	case "PIPELINING":
		c.Pipelining = true
	case "STARTTLS":
		c.StartTLS = true
	case "CHUNKING":
		c.Chunking = true
	case "ENHANCEDSTATUSCODES":
		c.StatusCodes = true
	case "REQUIRETLS":
		c.RequireTLS = true
	case "LIMITS":
		c.limits(args)
	}
}

// limits reads the parameters of LIMITS (RFC 9422, section 4).
func (c *Capabilities) limits(args []string) {
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		if !isDigits(value) || len(value) > 6 {
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil || n == 0 {
			continue
		}
		switch strings.ToUpper(name) {
		case "RCPTMAX":
			c.LimitsRcpts = n
		case "MAILMAX":
			c.LimitsMails = n
		case "RCPTDOMAINMAX":
			c.LimitsDomain = n
		}
	}
}

// isMechanism is sasl-mech of RFC 4422, section 3.1.
func isMechanism(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlpha(c) && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 20
}
