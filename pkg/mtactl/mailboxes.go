package mtactl

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// mailboxRow is one mailbox as it is listed.
type mailboxRow struct {
	User          string     `json:"user"`
	Transport     string     `json:"transport"`
	Path          string     `json:"path"`
	Bytes         int64      `json:"bytes"`
	Messages      *int64     `json:"messages,omitempty"` // nil: not counted
	AtLeast       bool       `json:"at_least,omitempty"`
	LimitBytes    int64      `json:"limit_bytes,omitempty"`
	LimitMessages int64      `json:"limit_messages,omitempty"`
	Percent       *int       `json:"percent,omitempty"` // nil: no limit
	Over          bool       `json:"over"`              // above the warning level
	LastRead      *time.Time `json:"last_read,omitempty"`
	Trouble       string     `json:"trouble,omitempty"`
}

func (a *app) mailboxesCommand() *cobra.Command {
	var over, asJSON bool
	c := &cobra.Command{
		Use:   "mailboxes",
		Short: "list mailboxes, the fullest first",
		Long: `mailboxes lists the mailboxes that there are: of the system's users, of tables of
users, and below directories that directors deliver to, with size, messages, how full
each is by the limits of its transport, and when it was last read as far as can be seen
(a backup looks like a reader). Root sees all, and looks at each as the user whose it is;
you see your own. With --json each line is one mailbox.`,
		Example: `  mtactl mailboxes
  mtactl mailboxes --over              those above their warning level
  mtactl mailboxes --json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.mailboxes(over, asJSON) },
	}
	c.Flags().BoolVar(&over, "over", false, "only those above the warning level of their transport (mailbox_warn, else the limit)")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON, a mailbox a line")
	return c
}

func (a *app) mailboxes(over, asJSON bool) error {
	l, err := a.load()
	if err != nil {
		return err
	}
	s := l.Settings
	// The installed suite changes users, whoever asks about it.
	own := !s.Instance.Private && os.Geteuid() != 0 && s.PrivilegeSeparation != "off"
	s.Instance.Separate = s.Instance.Separate || own
	passwd, err := readPasswd()
	if err != nil {
		return fail(exNoInput, "", "read the accounts").because(err)
	}
	list := findMailboxes(s, passwd)
	if own {
		me, err := user.Current()
		if err != nil {
			return fail(exNoPerm, "run the command as root", "find out who you are").because(err)
		}
		list.keepOnly(me.Username)
	}
	rows, err := a.measureAll(s, list)
	if err != nil {
		return err
	}
	if over {
		rows = slices.DeleteFunc(rows, func(r mailboxRow) bool { return !r.Over })
	}
	slices.SortFunc(rows, func(x, y mailboxRow) int {
		return cmp.Or(cmp.Compare(settings.Or(y.Percent, -1), settings.Or(x.Percent, -1)), cmp.Compare(y.Bytes, x.Bytes), cmp.Compare(x.Path, y.Path))
	})
	for _, note := range list.notes {
		fmt.Fprintf(a.Err, "mtactl: %s\n", note)
	}
	if asJSON {
		e := json.NewEncoder(a.Out)
		e.SetEscapeHTML(false)
		for i := range rows {
			if err := e.Encode(&rows[i]); err != nil {
				return err
			}
		}
		return nil
	}
	a.printMailboxes(rows, over)
	return nil
}

// measureAll asks about every mailbox, one user after the other.
func (a *app) measureAll(s *settings.Settings, list *mailboxList) ([]mailboxRow, error) {
	var rows []mailboxRow
	seen := map[string]bool{}
	actors, of := list.byActor()
	progress := isTerminal(a.Err) && len(actors) > 1
	for i, actor := range actors {
		if progress {
			fmt.Fprintf(a.Err, "\r\x1b[K%d of %s", i+1, count(len(actors), "user"))
		}
		got, err := measure(a.ctx, s.Instance, actor, of[actor])
		if a.ctx.Err() != nil {
			return nil, fail(exTempFail, "", "interrupted")
		}
		if err != nil {
			list.notes = append(list.notes, fmt.Sprintf("the mailboxes of %s are not listed: %s", cmp.Or(actor, "this instance"), show(err.Error())))
			continue
		}
		for j := range got {
			// A path counts once for each user: nobody's word hides another's mailbox.
			if m, key := &got[j], actor+"\x00"+got[j].Path; !seen[key] {
				seen[key] = true
				rows = append(rows, rowOf(&of[actor][m.Query], m, s.Transports))
			}
		}
	}
	if progress {
		fmt.Fprint(a.Err, "\r\x1b[K")
	}
	return rows, nil
}

// rowOf holds what was measured against the limits of the transport.
func rowOf(of *mailboxOf, m *proto.Measured, transports map[string]settings.Transport) mailboxRow {
	t := transports[of.transport].Complete()
	r := mailboxRow{
		User: of.user, Transport: of.transport, Path: m.Path, Bytes: m.Bytes, AtLeast: m.AtLeast, Trouble: m.Trouble,
		LimitBytes: t.MailboxLimit.Bytes(), LimitMessages: int64(t.MailboxMessages),
	}
	if !m.LastRead.IsZero() {
		read := m.LastRead.UTC().Truncate(time.Second)
		r.LastRead = &read
	}
	if m.Messages >= 0 {
		r.Messages = &m.Messages
	}
	if m.Trouble == "" && (r.LimitBytes > 0 || r.LimitMessages > 0) {
		p := max(percentOf(m.Bytes, r.LimitBytes), percentOf(m.Messages, r.LimitMessages))
		r.Percent = &p
		level := *t.MailboxWarn
		if level == 0 {
			level = 100
		}
		r.Over = p >= level
	}
	return r
}

func percentOf(n, limit int64) int {
	if limit <= 0 || n <= 0 {
		return 0
	}
	return int(min(float64(n)/float64(limit)*100, 1e6))
}

func (a *app) printMailboxes(rows []mailboxRow, over bool) {
	if len(rows) == 0 {
		if over {
			fmt.Fprintln(a.Out, "No mailbox is above its warning level.")
			return
		}
		fmt.Fprintln(a.Out, "There is no mailbox yet.")
		return
	}
	var t table
	t.add("USER", "SIZE", "MESSAGES", "FULL", "READ", "MAILBOX")
	var total int64
	for i := range rows {
		r := &rows[i]
		total += r.Bytes
		t.add(show(r.User), r.size(), r.messages(), a.full(r), r.read(a.now()), show(r.Path)+a.trouble(r))
	}
	t.print(a, true)
	fmt.Fprintf(a.Out, "%s, %s\n", counted(len(rows), "mailbox", "mailboxes"), size(total))
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (r *mailboxRow) size() string {
	switch {
	case r.Trouble != "":
		return "?"
	case r.AtLeast:
		return "> " + size(r.Bytes)
	}
	return size(r.Bytes)
}

func (r *mailboxRow) messages() string {
	switch {
	case r.Trouble != "" || r.Messages == nil:
		return "-"
	case r.AtLeast:
		return fmt.Sprintf("> %d", *r.Messages)
	}
	return fmt.Sprint(*r.Messages)
}

func (a *app) full(r *mailboxRow) string {
	switch {
	case r.Percent == nil:
		return "-"
	case *r.Percent >= 100:
		return a.paint(red, fmt.Sprintf("%d %%", *r.Percent))
	case r.Over:
		return a.paint(yellow, fmt.Sprintf("%d %%", *r.Percent))
	}
	return fmt.Sprintf("%d %%", *r.Percent)
}

func (r *mailboxRow) read(now time.Time) string {
	if r.LastRead == nil {
		return "-"
	}
	return age(max(now.Sub(*r.LastRead), 0)) + " ago"
}

func (a *app) trouble(r *mailboxRow) string {
	if r.Trouble == "" {
		return ""
	}
	return "  " + a.paint(yellow, show(r.Trouble))
}
