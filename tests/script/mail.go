package script

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// maildir gives the files in a Maildir of the instance, in the order in which
// they were delivered.
func (w *world) maildir(dir string) []string {
	found, _ := filepath.Glob(filepath.Join(w.inst, "mail", dir, "new", "*"))
	type entry struct {
		path string
		at   int64
	}
	var list []entry
	for _, path := range found {
		if st, err := os.Stat(path); err == nil {
			list = append(list, entry{path, st.ModTime().UnixNano()})
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].at < list[j].at })
	var out []string
	for _, e := range list {
		out = append(out, e.path)
	}
	return out
}

// mails are the texts of a Maildir's messages.
func (w *world) mails(dir string) []string {
	var out []string
	for _, path := range w.maildir(dir) {
		if b, err := os.ReadFile(path); err == nil {
			out = append(out, string(b))
		}
	}
	return out
}

func waitMail(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "wait-mail DIR N")
	w, want := worldOf(ts), number(ts, args[1])
	until(ts, func() (bool, string) {
		n := len(w.maildir(args[0]))
		return n >= want, fmt.Sprintf("%d messages are in %s, %d are wanted", n, args[0], want)
	})
	if n := len(w.maildir(args[0])); n > want {
		ts.Fatalf("%d messages are in %s, not %d", n, args[0], want)
	}
	// Nothing may ever lie half written where readers look.
	for _, path := range w.maildir(args[0]) {
		if st, err := os.Stat(path); err == nil && st.Size() == 0 {
			ts.Fatalf("%s is empty", path)
		}
	}
}

func noMail(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "no-mail DIR")
	if n := len(worldOf(ts).maildir(args[0])); n > 0 {
		ts.Fatalf("%d messages are in %s", n, args[0])
	}
}

func getMail(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 3, "get-mail DIR N FILE")
	list, n := worldOf(ts).maildir(args[0]), number(ts, args[1])
	if n < 1 || n > len(list) {
		ts.Fatalf("%s has %d messages, not %d", args[0], len(list), n)
	}
	b, err := os.ReadFile(list[n-1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), b, 0o600))
}

var addedField = regexp.MustCompile(`(?i)^(Return-Path|Delivered-To|Received):`)

// sameMessage holds a message against what was sent: only fields that are
// documented may have been added, in front.
func sameMessage(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "same-message WANT GOT")
	want, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	got, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	want, got = bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n")), bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n"))
	added, ok := bytes.CutSuffix(got, want)
	if !ok {
		ts.Fatalf("%s does not end in the %d octets of %s:\n%s", args[1], len(want), args[0], got[:min(len(got), 3000)])
	}
	received := 0
	for i, line := range strings.Split(strings.TrimSuffix(string(added), "\n"), "\n") {
		switch {
		case i > 0 && strings.HasPrefix(line, "\t"), i > 0 && strings.HasPrefix(line, " "):
		case !addedField.MatchString(line):
			ts.Fatalf("%q stands in front of the message", line)
		case strings.HasPrefix(line, "Received:"):
			received++
		}
	}
	if received == 0 {
		ts.Fatalf("there is no Received field (RFC 5321, section 4.4):\n%s", added)
	}
}

// match holds a file against a list of patterns.
func match(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "match PATTERNS FILE")
	wanted := strings.Split(strings.TrimSpace(read(ts, args[0])), "\n")
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(ts.ReadFile(args[1]), "\r\n", "\n")), "\n")
	at, skip := 0, false
	for _, want := range wanted {
		if want == "..." {
			skip = true
			continue
		}
		found := false
		for ; at < len(lines) && !found; at++ {
			found = wholly(lines[at], want)
			if !found && !skip {
				ts.Fatalf("%s: line %d is %q, wanted %q\n%s", args[1], at+1, lines[at], want, strings.Join(lines, "\n"))
			}
		}
		if !found {
			ts.Fatalf("%s: there is no (further) line %q\n%s", args[1], want, strings.Join(lines, "\n"))
		}
		skip = false
	}
	if at < len(lines) && !skip {
		ts.Fatalf("%s goes on with line %d, %q", args[1], at+1, lines[at])
	}
}

func wholly(text, want string) bool {
	return regexp.MustCompile(`^` + strings.ReplaceAll(regexp.QuoteMeta(want), `\*`, `.*`) + `$`).MatchString(text)
}

// makeMessage writes a message in which every line length up to the limit of
// 998 octets occurs, with dots at the beginnings.
func makeMessage(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "make-message OCTETS FILE")
	size := number(ts, args[0])
	var b bytes.Buffer
	b.WriteString("From: <big@client.test>\nTo: <all@home.test>\nSubject: a large message\nDate: Mon, 23 Nov 2026 12:00:00 +0000\nMessage-ID: <large@client.test>\n\n")
	const letters = "..abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789."
	text := strings.Repeat(letters, 20)
	for n := 0; b.Len() < size; n++ {
		length := min(n*7%999, size-b.Len()-1)
		from := n % len(letters)
		b.WriteString(text[from : from+max(0, length)])
		b.WriteByte('\n')
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b.Bytes(), 0o600))
}
