package rig

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Copy is one copy of a message at its end: in a mailbox, at the remote server,
// or a recipient's part of a report.
type Copy struct {
	token string
	rcpt  string
	kind  where
	at    time.Time
	id    string // the suite's for the message, in a report of the report
	wrong string // what is wrong with it
	// unsaid: the remote server kept it and did not say so.
	unsaid bool
	place  string // for people
}

var (
	tokenField  = regexp.MustCompile(`(?m)^X-Token: (\S+)$`)
	sumField    = regexp.MustCompile(`(?m)^X-Sum: ([0-9a-f]{8})$`)
	idInTrace   = regexp.MustCompile(`(?m)^(?:Received:|\s).*\bby mail\.test\b(?:.|\n\s)*?\bid ([0-9A-Z]{11})\b`)
	finalField  = regexp.MustCompile(`(?mi)^Final-Recipient: *rfc822; *(\S+)$`)
	actionField = regexp.MustCompile(`(?mi)^Action: *(\S+)$`)
	boundaryOf  = regexp.MustCompile(`(?i)boundary="?([^";\n]+)"?`)
)

func first(re *regexp.Regexp, text string) string {
	if m := re.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// examine says what is wrong with a message that should be one of ours.
func examine(text string) string {
	header, body, ok := strings.Cut(text, "\n\n")
	want := first(sumField, header+"\n")
	switch got := fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(body))); {
	case !ok || want == "":
		return "half a header"
	case got != want:
		return fmt.Sprintf("the body of %d octets has the sum %s instead of %s", len(body), got, want)
	}
	return ""
}

// Copies are those in the Maildirs. tmp is what unfinished files are
// there, which mail readers remove.
func (s *Suite) Copies() (out []Copy, tmp int, err error) {
	for _, name := range append([]string{"sender"}, mailboxes...) {
		base := filepath.Join(s.Dir, "mail", name)
		left, _ := filepath.Glob(filepath.Join(base, "tmp", "*"))
		tmp += len(left)
		found, _ := filepath.Glob(filepath.Join(base, "new", "*"))
		for _, path := range found {
			b, err := os.ReadFile(path)
			if err != nil {
				return nil, 0, err
			}
			st, err := os.Stat(path)
			if err != nil {
				return nil, 0, err
			}
			if name == "sender" {
				out = append(out, reportCopies(string(b), st.ModTime(), path)...)
				continue
			}
			out = append(out, Copy{
				token: first(tokenField, string(b)), rcpt: name + "@" + localDomain, kind: toMailbox, at: st.ModTime(),
				id: first(idInTrace, string(b)), wrong: examine(string(b)), place: path,
			})
		}
	}
	return out, tmp, nil
}

// reportCopies are the recipients that one delivery report is about.
func reportCopies(text string, at time.Time, path string) []Copy {
	c := Copy{token: first(tokenField, text), kind: toReport, at: at, place: path, id: first(idInTrace, text)}
	end := "--" + first(boundaryOf, text) + "--"
	rcpts, actions := finalField.FindAllStringSubmatch(text, -1), actionField.FindAllStringSubmatch(text, -1)
	switch {
	case end == "----" || !strings.Contains(text, "\n"+end):
		c.wrong = "half a report"
	case c.token == "" || len(rcpts) == 0 || len(rcpts) != len(actions):
		c.wrong = "a report about nobody"
	}
	if c.wrong != "" {
		return []Copy{c}
	}
	var out []Copy
	for i, m := range rcpts {
		one := c
		if one.rcpt = m[1]; actions[i][1] != "failed" {
			one.wrong = "a report of " + actions[i][1]
		}
		out = append(out, one)
	}
	return out
}

// CopiesOf are those that the sink has taken.
func CopiesOf(list []Taken) []Copy {
	var out []Copy
	for _, t := range list {
		for _, r := range t.to {
			out = append(out, Copy{
				token: first(tokenField, t.text), rcpt: r, kind: toRemote, at: t.at, id: first(idInTrace, t.text),
				wrong: examine(t.text), unsaid: t.unsaid, place: "the remote server",
			})
		}
	}
	return out
}
