package mtactl

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// maxHistoryLine bounds one line of an answer: a message with all its attempts.
const maxHistoryLine = 64 << 20

func (a *app) historyCommand() *cobra.Command {
	var q proto.HistoryQuery
	var asJSON bool
	c := &cobra.Command{
		Use:   "history [ID|ADDRESS]",
		Short: "show what became of messages, also of those that are done",
		Long: `history shows the path of messages from their arrival to the last reply of the server that
took them: by queue id, by an address (of the sender or a recipient), or by the flags, which must
all hold. Of many, the newest are shown, in the order of their arrival. Mail that was refused has no
queue id and is found by its addresses and its client.

It is read from the log, a second behind it, and kept as [memory] in the configuration says. With
--json each line is one message, the newest first.`,
		Example: `  mtactl history 1HT0E1F3R00
  mtactl history alice@example.org
  mtactl history --host mx.example.net --since 2h
  mtactl history --sender '<>' --domain example.org --limit 5`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.history(q, args, asJSON) },
	}
	f := c.Flags()
	f.StringVar(&q.Sender, "sender", "", "from this `ADDRESS` ('<>' is the null sender)")
	f.StringVar(&q.Recipient, "recipient", "", "to this `ADDRESS`, as it was given or after expansion")
	f.StringVar(&q.Domain, "domain", "", "to a recipient in this `DOMAIN`")
	f.StringVar(&q.Host, "host", "", "for which this `SERVER` was spoken to (name or IP address)")
	f.StringVar(&q.Client, "client", "", "from this `IP` address")
	f.StringVar(&q.MessageID, "message-id", "", "with this Message-`ID`")
	f.StringVar(&q.Login, "login", "", "submitted by this `USER`")
	f.StringVar(&q.UID, "uid", "", "submitted on this machine with this user `NUMBER`")
	f.StringVar(&q.Since, "since", "", "that arrived since this `TIME` (2h, '3 days', 2026-03-01T09:30:00Z)")
	f.StringVar(&q.Until, "until", "", "that arrived before this `TIME`")
	f.IntVar(&q.Limit, "limit", proto.HistoryLimit, "at most the `N` newest")
	f.BoolVar(&asJSON, "json", false, "write JSON, a message a line")
	return c
}

func (a *app) history(q proto.HistoryQuery, args []string, asJSON bool) error {
	queries, err := historyQueries(q, args)
	if err != nil {
		return err
	}
	inst, err := a.instance()
	if err != nil {
		return err
	}
	cl := newClient(inst.Control(proto.ControlMTADB))
	var found []proto.HistoryMessage
	cut := ""
	for _, q := range queries {
		list, why, err := a.askHistory(cl, &q)
		if err != nil {
			return err
		}
		found, cut = append(found, list...), why
	}
	found = newestFirst(found, q.Limit)
	if asJSON {
		out := json.NewEncoder(a.Out)
		out.SetEscapeHTML(false)
		for i := range found {
			if err := out.Encode(&found[i]); err != nil {
				return fail(exIOErr, "", "write the history").because(err)
			}
		}
	} else {
		for _, m := range slices.Backward(found) {
			a.printHistory(&m)
		}
	}
	if cut != "" {
		fmt.Fprintf(a.Err, "mtactl: %s\n", show(cut))
	}
	return a.historyNotes(cl, inst, len(found))
}

// historyQueries are the questions that a command line means: an address is asked for as
// sender and as recipient.
func historyQueries(q proto.HistoryQuery, args []string) ([]proto.HistoryQuery, error) {
	if q.Limit < 1 || q.Limit > proto.HistoryMost {
		return nil, fail(exUsage, "", "--limit %d: a number from 1 to %d is wanted", q.Limit, proto.HistoryMost)
	}
	for flag, text := range map[string]string{"since": q.Since, "until": q.Until} {
		var d settings.Duration
		if _, err := time.Parse(time.RFC3339, text); text != "" && err != nil && d.UnmarshalText([]byte(text)) != nil {
			return nil, fail(exUsage, "write an age like 2h or '3 days', or a time like 2026-03-01T09:30:00Z", "--%s %q is no time", flag, text)
		}
	}
	if len(args) == 0 {
		return []proto.HistoryQuery{q}, nil
	}
	word := args[0]
	if id, err := queueid.Parse(word); err == nil {
		q.ID = id.String()
		return []proto.HistoryQuery{q}, nil
	}
	if word != "<>" {
		if _, err := mailaddr.ParseLocalOrMailbox(untrusted.From(strings.Trim(word, "<>"))); err != nil || !strings.Contains(word, "@") {
			return nil, fail(exUsage, "a queue id has 11 letters and digits; see mtactl history --help for other ways to ask", "%q is neither a queue id nor an address", word)
		}
	}
	from, to := q, q
	from.Sender, to.Recipient = word, word
	switch {
	case q.Sender != "":
		return []proto.HistoryQuery{to}, nil
	case q.Recipient != "" || word == "<>":
		return []proto.HistoryQuery{from}, nil
	}
	return []proto.HistoryQuery{from, to}, nil
}

// historyValues is a query as parameters.
func historyValues(q *proto.HistoryQuery) string {
	v := url.Values{"limit": {strconv.Itoa(q.Limit)}}
	for key, text := range map[string]string{
		"id": q.ID, "sender": q.Sender, "recipient": q.Recipient, "domain": q.Domain, "host": q.Host, "client": q.Client,
		"message_id": q.MessageID, "login": q.Login, "uid": q.UID, "since": q.Since, "until": q.Until,
	} {
		if text != "" {
			v.Set(key, text)
		}
	}
	return v.Encode()
}

// askHistory reads an answer, and why it is not whole.
func (a *app) askHistory(cl *client, q *proto.HistoryQuery) (list []proto.HistoryMessage, cut string, err error) {
	body, err := cl.open(a.ctx, http.MethodGet, "/v1/history?"+historyValues(q), nil)
	if err != nil {
		return nil, "", err
	}
	defer body.Close()
	in := bufio.NewScanner(body)
	in.Buffer(make([]byte, 64<<10), maxHistoryLine)
	for in.Scan() {
		var m proto.HistoryMessage
		if err := json.Unmarshal(in.Bytes(), &m); err != nil {
			return nil, "", fail(exUnavailable, "", "the answer of mtadb cannot be read").because(err)
		}
		if m.Error != "" {
			cut = m.Error
			continue
		}
		if len(m.Events) > 0 {
			list = append(list, m)
		}
	}
	if err := in.Err(); err != nil {
		return nil, "", fail(exUnavailable, "", "the answer of mtadb ended early").because(err)
	}
	return list, cut, nil
}

// newestFirst merges what two questions found.
func newestFirst(list []proto.HistoryMessage, limit int) []proto.HistoryMessage {
	slices.SortStableFunc(list, func(x, y proto.HistoryMessage) int { return y.Events[0].At.Compare(x.Events[0].At) })
	seen := map[string]bool{}
	list = slices.DeleteFunc(list, func(m proto.HistoryMessage) bool {
		again := m.ID != "" && seen[m.ID]
		seen[m.ID] = true
		return again
	})
	return list[:min(limit, len(list))]
}

// historyNotes says what keeps the history from being whole.
func (a *app) historyNotes(cl *client, inst settings.Instance, found int) error {
	var st proto.HistoryStatus
	if err := cl.get(a.ctx, "/v1/history/status", &st); err != nil {
		return err
	}
	switch {
	case st.Trouble != "":
		fmt.Fprintf(a.Err, "The history is not kept at the moment: %s\n    it is read from %s\n", show(st.Trouble), inst.LogFile())
	case st.Behind > 0:
		fmt.Fprintf(a.Err, "The newest is not in it yet: %s of the log are still to be read.\n", size(st.Behind))
	}
	if found > 0 {
		return nil
	}
	fmt.Fprintln(a.Err, "The history has no such message.")
	if st.Oldest != nil {
		fmt.Fprintf(a.Err, "    it begins %s\n", st.Oldest.Local().Format("2006-01-02 15:04"))
	}
	return errSilent(exFindings)
}

// printHistory shows one message: where it came from, and a line for each thing that
// happened to it.
func (a *app) printHistory(m *proto.HistoryMessage) {
	id := m.ID
	if id == "" {
		id = "refused"
	}
	fmt.Fprintln(a.Out, a.paint(bold, show(id))+a.origin(m))
	day := ""
	for i := range m.Events {
		e := &m.Events[i]
		at := e.At.Local()
		if today := at.Format("2006-01-02"); today != day {
			day = today
			fmt.Fprintln(a.Out, "  "+a.paint(dim, day))
		}
		fmt.Fprintf(a.Out, "  %s  %s%s\n", at.Format("15:04:05.000"), a.paint(verbColour(e.What), show(e.What)), factsOf(e))
	}
}

// origin is the part of a reception that stands beside the id.
func (a *app) origin(m *proto.HistoryMessage) string {
	for i := range m.Events {
		if e := &m.Events[i]; e.What == "received" {
			text := "  from " + show(e.Facts["from"])
			if n, err := strconv.ParseInt(e.Facts["size"], 10, 64); err == nil {
				text += "  " + size(n)
			}
			return text
		}
	}
	return ""
}

func verbColour(verb string) string {
	switch verb {
	case "delivered", "received", "finished", "released":
		return green
	case "deferred", "held", "filed":
		return yellow
	case "failed", "bounced", "refused", "deleted", "trouble", "corrupt":
		return red
	}
	return dim
}

// factOrder is the order of the facts that come first, in which a reader asks for them;
// the words of the other side come last.
var factOrder = []string{"to", "orig", "target", "client", "login", "uid", "proto", "port", "via", "host", "ip", "tls", "code", "status", "kind"}

// factsOf is the rest of a line.
func factsOf(e *proto.HistoryEvent) string {
	var b strings.Builder
	done := map[string]bool{"said": true, "why": true, "reason": true, "err": true, "size": e.What == "received", "from": e.What == "received"}
	add := func(key string) {
		if value, ok := e.Facts[key]; ok && !done[key] {
			done[key] = true
			if key == "to" {
				fmt.Fprintf(&b, " %s", show(value))
			} else {
				fmt.Fprintf(&b, " %s=%s", show(key), show(value))
			}
		}
	}
	for _, key := range factOrder {
		add(key)
	}
	rest := make([]string, 0, len(e.Facts))
	for key := range e.Facts {
		rest = append(rest, key)
	}
	slices.Sort(rest)
	for _, key := range rest {
		add(key)
	}
	for _, key := range []string{"why", "reason", "err", "said"} {
		if value := e.Facts[key]; value != "" {
			fmt.Fprintf(&b, ": %s", show(value))
		}
	}
	return b.String()
}
