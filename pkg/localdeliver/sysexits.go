package localdeliver

import (
	"strings"

	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
)

// verdict is what an exit status means.
type verdict struct {
	class  outcome.Class
	status smtp.Status
	text   string
}

// exits are the statuses of <sysexits.h>, by which commands that take mail have
// always said what became of it. Temporary are those where the machine, not the
// message, was at fault and may be better tomorrow.
var exits = map[int]verdict{
	64: {outcome.Failed, smtp.Status{Class: 5, Subject: 3, Detail: 0}, "usage error"},
	65: {outcome.Failed, smtp.Status{Class: 5, Subject: 6, Detail: 0}, "bad data"},
	66: {outcome.Failed, smtp.Status{Class: 5, Subject: 3, Detail: 0}, "cannot open input"},
	67: {outcome.Failed, smtp.Status{Class: 5, Subject: 1, Detail: 1}, "no such user"},
	68: {outcome.Failed, smtp.Status{Class: 5, Subject: 1, Detail: 2}, "no such host"},
	69: {outcome.Failed, smtp.Status{Class: 5, Subject: 3, Detail: 0}, "service unavailable"},
	70: {outcome.Failed, smtp.Status{Class: 5, Subject: 3, Detail: 0}, "internal software error"},
	71: {outcome.Deferred, smtp.Status{Class: 4, Subject: 3, Detail: 0}, "system error"},
	72: {outcome.Failed, smtp.Status{Class: 5, Subject: 3, Detail: 0}, "a system file is missing"},
	73: {outcome.Failed, smtp.Status{Class: 5, Subject: 2, Detail: 0}, "cannot create output"},
	74: {outcome.Deferred, smtp.Status{Class: 4, Subject: 3, Detail: 0}, "input or output error"},
	75: {outcome.Deferred, smtp.Status{Class: 4, Subject: 2, Detail: 0}, "temporary failure"},
	76: {outcome.Failed, smtp.Status{Class: 5, Subject: 5, Detail: 0}, "protocol error"},
	77: {outcome.Failed, smtp.Status{Class: 5, Subject: 7, Detail: 1}, "permission denied"},
	78: {outcome.Failed, smtp.Status{Class: 5, Subject: 3, Detail: 5}, "configuration error"},
}

// exitVerdict is the meaning of a status other than 0.
func exitVerdict(code int) verdict {
	if v, ok := exits[code]; ok {
		return v
	}
	return verdict{outcome.Failed, smtp.Status{Class: 5, Subject: 3, Detail: 0}, "unknown reason"}
}

// maxQuoted bounds what of a command's output goes into the outcome's text; the
// whole of it goes into the report.
const maxQuoted = 200

// firstLine is the first line of the output that says something, to stand
// behind a text.
func firstLine(output string) string {
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" {
			return ": " + line[:min(len(line), maxQuoted)]
		}
	}
	return ""
}
