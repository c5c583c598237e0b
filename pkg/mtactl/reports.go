package mtactl

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"filbert/pkg/dsn"
	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// previewQuery is what somebody wants to see.
type previewQuery struct {
	cause     string
	language  string
	kind      string
	sender    string
	recipient string
	list      bool
	keys      bool
	raw       bool
	asJSON    bool
}

// previewKinds are the reports that can be shown.
var previewKinds = map[string]dsn.What{
	"failure": dsn.Failure, "delay": dsn.Delay, "success": dsn.Success, "after": dsn.After, "double": dsn.Double,
}

func (a *app) reportsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "reports",
		Short: "show what senders are told about their mail",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(a.previewCommand())
	return c
}

func (a *app) previewCommand() *cobra.Command {
	q := previewQuery{}
	c := &cobra.Command{
		Use:   "preview",
		Short: "print a delivery report as it would be sent",
		Long: `preview prints the report that would be sent about an example, in the words of the
configuration as it is in the files now (reports.templates, reports.contact). The
suite need not run, and nothing is sent. The header and the part for a person are
printed readable; --raw prints all as it goes over the wire.

--list shows the causes of failures, by which texts are called: DIR/de.mailbox-full
has the German "why" and "todo" about a full mailbox. --keys shows every text of a
language, as it could stand in the file DIR/de.`,
		Example: `  mtactl reports preview --cause mailbox-full --language de
  mtactl reports preview --kind delay --sender user@example.fr
  mtactl reports preview --list
  mtactl reports preview --keys --language fr`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.preview(&q) },
	}
	f := c.Flags()
	f.StringVar(&q.cause, "cause", string(dsn.UnknownUser), "because of `CAUSE`")
	f.StringVar(&q.language, "language", "", "in `LANGUAGE` (default: as for the sender)")
	f.StringVar(&q.kind, "kind", "failure", "`KIND` is failure, delay, success, after (a delay is over) or double (a report that failed)")
	f.StringVar(&q.sender, "sender", "user@example.org", "as for `ADDRESS`, from which the language is guessed")
	f.StringVar(&q.recipient, "recipient", "friend@example.net", "about mail to `ADDRESS`")
	f.BoolVar(&q.list, "list", false, "list the causes")
	f.BoolVar(&q.keys, "keys", false, "list the texts")
	f.BoolVar(&q.raw, "raw", false, "print it octet by octet")
	f.BoolVar(&q.asJSON, "json", false, "write JSON")
	c.MarkFlagsMutuallyExclusive("list", "keys", "raw")
	return c
}

func (a *app) preview(q *previewQuery) error {
	l, err := a.load()
	if err != nil {
		return err
	}
	texts, problems := dsn.Shipped().With(l.Settings.Reports.Texts)
	if len(problems) > 0 { // load has told of them, and ended
		return fail(exConfig, "mtactl check tells what is wrong", "the texts in %s have mistakes", l.Settings.Reports.Templates)
	}
	if q.language != "" && !texts.Has(q.language) {
		return fail(exUsage, "there are: "+strings.Join(texts.Languages(), ", "), "there is no language %s", show(q.language))
	}
	switch {
	case q.list:
		return a.listCauses(texts, q)
	case q.keys:
		return a.listTexts(texts, q)
	}
	req, err := q.request(l.Settings, texts, a.now())
	if err != nil {
		return err
	}
	text := dsn.Compose(req)
	if q.raw {
		_, err := a.Out.Write(text)
		return err
	}
	return a.showReport(text, req, q.asJSON)
}

func (a *app) listCauses(texts *dsn.Catalogue, q *previewQuery) error {
	language := orSo(q.language, dsn.English)
	type cause struct {
		Cause string `json:"cause"`
		Why   string `json:"why"`
	}
	var list []cause
	var t table
	for _, c := range dsn.Causes() {
		list = append(list, cause{string(c), texts.Text(language, string(c)+".why")})
		t.add(string(c), texts.Text(language, string(c)+".why"))
	}
	if q.asJSON {
		return printJSON(a.Out, list)
	}
	t.print(a, false)
	return nil
}

func (a *app) listTexts(texts *dsn.Catalogue, q *previewQuery) error {
	language := orSo(q.language, dsn.English)
	all := map[string]string{}
	for _, key := range dsn.Keys() {
		all[key] = texts.Text(language, key)
	}
	if q.asJSON {
		return printJSON(a.Out, all)
	}
	for _, key := range dsn.Keys() {
		fmt.Fprintf(a.Out, "%s: %s\n", key, all[key])
	}
	return nil
}

func orSo(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// request is the example.
func (q *previewQuery) request(s *settings.Settings, texts *dsn.Catalogue, now time.Time) (*dsn.Request, error) {
	what, ok := previewKinds[q.kind]
	if !ok {
		return nil, fail(exUsage, "there are: failure, delay, success, after, double", "there is no kind of report %s", show(q.kind))
	}
	if !slices.Contains(dsn.Causes(), dsn.Cause(q.cause)) {
		return nil, fail(exUsage, "mtactl reports preview --list has the names", "there is no cause %s", show(q.cause))
	}
	sender, err := mailaddr.Parse(untrusted.From(q.sender))
	if err != nil {
		return nil, fail(exDataErr, "write user@example.org", "--sender %s", show(q.sender)).because(err)
	}
	recipient, err := mailaddr.Parse(untrusted.From(q.recipient))
	if err != nil {
		return nil, fail(exDataErr, "write user@example.org", "--recipient %s", show(q.recipient)).because(err)
	}
	age := 6 * time.Hour
	if what != dsn.Delay {
		age = s.LongestRetry().D()
	}
	req := &dsn.Request{
		What: what, Hostname: s.Hostname, Contact: s.Contact(), To: sender, Now: now, Texts: texts,
		Envelope: &envelope.Envelope{
			ID: 1 << 40, Arrived: now.Add(-age), Sender: sender,
			Recipients: []envelope.Recipient{{Address: recipient}},
			Client:     envelope.Client{Addr: netip.MustParseAddr("192.0.2.1"), HELO: untrusted.From("pc.example.org")},
		},
		Outcomes: []outcome.Outcome{dsn.Example(dsn.Cause(q.cause), what, recipient.Domain())},
		Returned: []byte(fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: Lunch on Friday?\r\nMessage-ID: <1@pc.example.org>\r\n", sender, recipient)),
	}
	if dsn.Cause(q.cause) == dsn.Expired {
		was := dsn.Example(dsn.Later, dsn.Delay, recipient.Domain())
		req.Known = []dsn.Known{{Kind: was.Kind, Code: was.Code, Status: was.Status, Since: req.Envelope.Arrived}}
	}
	if what == dsn.Delay {
		req.GiveUpAt = req.Envelope.Arrived.Add(s.LongestRetry().D())
	}
	if req.Language = q.language; q.language != "" {
		return req, nil
	}
	languages, err := dsn.NewLanguages(s.Reports.Language, s.Reports.LanguagesByDomain, texts.Languages())
	if err != nil {
		return nil, fail(exConfig, "mtactl check tells more", "reports.languages_by_domain").because(err)
	}
	req.Language, req.Guessed = languages.For(sender, nil)
	return req, nil
}

// showReport prints a report as a mail program would show it, with the header.
func (a *app) showReport(text []byte, req *dsn.Request, asJSON bool) error {
	subject, parts, err := takeApart(text)
	if err != nil {
		return fail(exSoftware, "", "read the report").because(err)
	}
	if asJSON {
		return printJSON(a.Out, map[string]any{"subject": subject, "language": req.Language, "words": parts[0], "report": string(text)})
	}
	head, _, _ := strings.Cut(string(text), "\r\n\r\n")
	for _, line := range strings.Split(head, "\r\n") {
		switch {
		case strings.HasPrefix(line, "Subject:"):
			fmt.Fprintf(a.Out, "Subject: %s\n", a.paint(bold, show(subject)))
		case !strings.HasPrefix(line, " =?"):
			fmt.Fprintln(a.Out, show(strings.ReplaceAll(line, "\t", "    "))) // folded lines
		}
	}
	for _, part := range parts {
		fmt.Fprintln(a.Out)
		for _, line := range strings.Split(strings.TrimRight(part, "\n"), "\n") {
			fmt.Fprintln(a.Out, show(line))
		}
	}
	return nil
}

// takeApart gives the subject and the parts of a report, decoded.
func takeApart(text []byte) (subject string, parts []string, err error) {
	m, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return "", nil, err
	}
	if subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil {
		return "", nil, err
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return "", nil, err
	}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextPart() // quoted-printable is decoded
		if err == io.EOF {
			break
		} else if err != nil {
			return "", nil, err
		}
		body, err := io.ReadAll(p)
		if err != nil {
			return "", nil, err
		}
		parts = append(parts, strings.ReplaceAll(string(body), "\r\n", "\n"))
	}
	if len(parts) == 0 {
		return "", nil, fmt.Errorf("it has no parts")
	}
	return subject, parts, nil
}
