package mtactl

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// maxRoutes bounds the lines of a file for --routes.
const maxRoutes = 100_000

// routeTest is one line of the file.
type routeTest struct {
	Line  int
	query proto.ExplainQuery
	wants []routeWant
}

// routeWant is what is expected of one delivery; "" may be anything.
type routeWant struct {
	text string // as it was written
	// verdict is a transport, or failed, deferred, discarded.
	verdict, address string
	keys             map[string]string
}

// routeResult is how a line came out.
type routeResult struct {
	Line    int      `json:"line"`
	Address string   `json:"address"`
	OK      bool     `json:"ok"`
	Missing []string `json:"missing,omitempty"` // what was expected and is not there
	Got     []string `json:"got,omitempty"`     // what is there and was not expected
}

func (a *app) checkRoutes(file string, asJSON bool) error {
	tests, err := readRoutes(file)
	if err != nil {
		return err
	}
	results, bad := []routeResult{}, 0
	for i := range tests {
		t := &tests[i]
		answer, err := a.askExplain(&t.query)
		if err != nil {
			return err
		}
		r := t.judge(answer.Leaves)
		if !r.OK {
			bad++
		}
		results = append(results, r)
		if !asJSON && !r.OK {
			a.printRoute(file, &r)
		}
	}
	if asJSON {
		if err := printJSON(a.Out, results); err != nil {
			return err
		}
	} else if bad == 0 {
		fmt.Fprintf(a.Out, "%s as expected.\n", addresses(len(tests)))
	}
	if bad > 0 {
		return fail(exFindings, "mtactl explain ADDRESS tells why", "of %[2]s, %[1]d went elsewhere", bad, addresses(len(tests)))
	}
	return nil
}

func (a *app) printRoute(file string, r *routeResult) {
	fmt.Fprintf(a.Err, "%s:%d: %s\n", file, r.Line, a.paint(red, show(r.Address)))
	for _, w := range r.Missing {
		fmt.Fprintf(a.Err, "    expected: %s\n", show(w))
	}
	for _, g := range r.Got {
		fmt.Fprintf(a.Err, "    found:    %s\n", show(g))
	}
}

// readRoutes reads the file, whole or not at all.
func readRoutes(file string) ([]routeTest, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fail(exNoInput, "", "read the expected routes").because(err)
	}
	defer f.Close()
	var tests []routeTest
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		line := strings.TrimSpace(in.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		t, err := parseRoute(line)
		if err != nil {
			return nil, fail(exDataErr, "mtactl check --help shows what a line looks like", "%s:%d: %v", file, n, err)
		}
		t.Line = n
		if tests = append(tests, t); len(tests) > maxRoutes {
			return nil, fail(exDataErr, "", "%s has more than %d lines", file, maxRoutes)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fail(exIOErr, "", "read the expected routes").because(err)
	}
	if len(tests) == 0 {
		return nil, fail(exDataErr, "mtactl check --help shows what a line looks like", "%s expects nothing", file)
	}
	return tests, nil
}

func parseRoute(line string) (routeTest, error) {
	var t routeTest
	asked, wanted, found := strings.Cut(line, " = ")
	words := strings.Fields(asked)
	if !found || len(words) == 0 {
		return t, errors.New("an address, \" = \" and what is expected are wanted")
	}
	t.query.Address = words[0]
	for _, w := range words[1:] {
		if err := t.origin(w); err != nil {
			return t, err
		}
	}
	for _, text := range strings.Split(wanted, ";") {
		w, err := parseWant(strings.TrimSpace(text))
		if err != nil {
			return t, err
		}
		t.wants = append(t.wants, w)
	}
	return t, nil
}

// origin takes one word behind the address.
func (t *routeTest) origin(word string) error {
	key, value, found := strings.Cut(word, "=")
	q := &t.query
	into := map[string]*string{"from": &q.Sender, "client": &q.Client, "listener": &q.Listener, "source": &q.Source, "verify": &q.Verify}[key]
	switch {
	case found && into != nil:
		*into = value
		return nil
	case found && key == "size":
		var n settings.Size
		if err := n.UnmarshalText([]byte(value)); err != nil {
			return fmt.Errorf("size: %w", err)
		}
		q.Size = n.Bytes()
		return nil
	}
	return fmt.Errorf("%q is none of from=, client=, listener=, source=, size=, verify=", word)
}

// wantKeys are the words of an expectation that have a value.
var wantKeys = []string{"user", "hop", "host", "by", "target", "errors-to", "login", "status"}

func parseWant(text string) (routeWant, error) {
	w := routeWant{text: text, keys: map[string]string{}}
	for _, word := range strings.Fields(text) {
		key, value, found := strings.Cut(word, "=")
		switch {
		case found && slices.Contains(wantKeys, key):
			w.keys[key] = value
		case found:
			return w, fmt.Errorf("%q is none of %s=", word, strings.Join(wantKeys, "=, "))
		case strings.Contains(word, "@") && w.address == "":
			w.address = word
		case !strings.Contains(word, "@") && w.verdict == "":
			w.verdict = word
		default:
			return w, fmt.Errorf("%q: one address and one transport are enough", word)
		}
	}
	if text == "" {
		return w, errors.New("an expectation is empty")
	}
	return w, nil
}

// judge compares what was expected with what there is, in any order.
func (t *routeTest) judge(leaves []proto.ExplainLeaf) routeResult {
	r := routeResult{Line: t.Line, Address: t.query.Address}
	left := slices.Clone(leaves)
	for i := range t.wants {
		at := slices.IndexFunc(left, func(l proto.ExplainLeaf) bool { return t.wants[i].meets(&l) })
		if at < 0 {
			r.Missing = append(r.Missing, t.wants[i].text)
			continue
		}
		left = slices.Delete(left, at, at+1)
	}
	for i := range left {
		r.Got = append(r.Got, leafText(&left[i]))
	}
	r.OK = len(r.Missing) == 0 && len(r.Got) == 0
	return r
}

func (w *routeWant) meets(l *proto.ExplainLeaf) bool {
	if w.verdict != "" && w.verdict != verdictOf(l) || w.address != "" && !strings.EqualFold(w.address, l.Address) {
		return false
	}
	for key, value := range w.keys {
		have := map[string]string{
			"user": l.User, "hop": l.NextHop, "by": l.By, "target": l.Target, "errors-to": l.ErrorsTo, "login": l.Login, "status": l.Status,
		}[key]
		if key == "host" && slices.ContainsFunc(l.Hosts, func(h string) bool { return h == value || strings.HasPrefix(h, value+"[") }) {
			continue
		}
		if !strings.EqualFold(have, value) {
			return false
		}
	}
	return true
}

// verdictOf is the transport, or what there is instead of one.
func verdictOf(l *proto.ExplainLeaf) string {
	if l.Verdict == "deliver" {
		return l.Transport
	}
	return l.Verdict
}

// leafText is a delivery as it could be expected.
func leafText(l *proto.ExplainLeaf) string {
	text := l.Address + " " + verdictOf(l)
	for _, kv := range [][2]string{{"status", l.Status}, {"user", l.User}, {"hop", l.NextHop}, {"by", l.By}, {"errors-to", l.ErrorsTo}, {"login", l.Login}} {
		if kv[1] != "" {
			text += " " + kv[0] + "=" + kv[1]
		}
	}
	for _, h := range l.Hosts {
		name, _, _ := strings.Cut(h, "[")
		text += " host=" + name
	}
	if l.Reason != "" {
		text += " (" + l.Reason + ")"
	}
	return text
}

func addresses(n int) string {
	if n == 1 {
		return "1 address"
	}
	return fmt.Sprintf("%d addresses", n)
}
