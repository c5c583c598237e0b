package localdeliver

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"filbert/pkg/durable"
)

// warnedName is the file of a Maildir that says when its user was last warned.
const warnedName = "filbert-warned"

// warnedBeside is the same for an mbox, beside it. The dot keeps it apart from the
// mailboxes of other users.
func warnedBeside(mbox string) string { return "." + mbox + "." + warnedName }

// maxWarned bounds the file: one time in RFC 3339.
const maxWarned = 64

// warningDue tells whether the last warning is long enough ago. A time in the
// future, or none that can be read, is none.
func warningDue(fsys durable.FS, name string, every time.Duration, now time.Time) bool {
	data, err := durable.ReadFile(fsys, name, maxWarned)
	if err != nil {
		return true
	}
	last, err := time.Parse(time.RFC3339, strings.TrimSpace(string(data)))
	return err != nil || last.After(now) || now.Sub(last) >= every
}

// claimWarning writes down that the user is warned now, before he is: a warning
// that is lost by a crash does less harm than one with each message. It is false where
// that can't be written, and then he is not warned.
func claimWarning(fsys durable.FS, name string, now time.Time) bool {
	f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return false
	}
	defer f.Close()
	// Truncated only when we know whose it is.
	if _, err := checkMailboxFile(f.OS()); err != nil || f.Truncate(0) != nil {
		return false
	}
	_, err = f.WriteAt([]byte(now.UTC().Format(time.RFC3339)+"\n"), 0)
	return err == nil
}

// letter is a message of our own.
type letter []byte

// writeTo writes it to a mailbox.
func (l letter) writeTo(out io.Writer, hook lineHook) error {
	w := bufio.NewWriter(out)
	for line := range bytes.Lines(l) {
		if hook != nil {
			hook(w, line)
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return w.Flush()
}

// warning is what the user reads. Auto-Submitted keeps vacation programs from
// answering it (RFC 3834, section 5).
func (d *delivery) warning(l limits, u usage, now time.Time) letter {
	to := d.Job.Recipient.Address
	holds := inUnits(u.bytes)
	if l.messages > 0 {
		holds = fmt.Sprintf("%s in %d messages", holds, u.messages)
	}
	what := "Mail that finds no room then waits for some days, and is returned to its\nsender if there is still none."
	switch d.t.WhenFull {
	case "bounce":
		what = "Mail that finds no room then is returned to its sender."
	case "deliver":
		what = "Your mail is delivered nevertheless; your administrator may ask you to make\nroom."
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Return-Path: <>\nDelivered-To: %s\n", to)
	fmt.Fprintf(&b, "Date: %s\n", now.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	fmt.Fprintf(&b, "From: Postmaster <postmaster@%s>\nTo: %s\n", to.Domain(), to)
	fmt.Fprintf(&b, "Subject: Your mailbox is %d %% full\n", l.percent(u))
	fmt.Fprintf(&b, "Message-ID: <%d.%s.mailbox-warning@%s>\n", now.UnixMicro(), d.Job.ID, d.Hostname)
	b.WriteString("Auto-Submitted: auto-generated\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n")
	fmt.Fprintf(&b, "Your mailbox %s holds %s.\nIt may have %s.\n\n", to, holds, l)
	fmt.Fprintf(&b, "%s\n\n", what)
	fmt.Fprintf(&b, "Please remove messages that you do not need any more, in all folders, and\nempty the trash. You will not be told again within %s.\n", d.t.WarnEvery)
	return b.Bytes()
}
