package pickup

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/untrusted"
)

// maxQueueItem bounds one line of qmgr's listing.
const maxQueueItem = 32 << 20

// mailq is -bp and mailq(1): for an administrator the queue, for everybody else
// what is his in it.
func (p *pickup) mailq() error {
	switch o := &p.opts.mailq; {
	case o.mode == mailqTrace:
		return p.traceMine()
	case o.mode == mailqCancel:
		return p.cancelMine()
	case o.mode == mailqHistory:
		return p.historyMine()
	case !o.plain():
		return p.listMine()
	}
	err := p.listQueue()
	if statusOf(err) != exNoPerm {
		return err
	}
	if merr := p.listMine(); !isDown(merr) {
		return merr
	}
	return err
}

// isDown tells whether nobody answered.
func isDown(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.down
}

// listQueue is the queue in the form that scripts have read for decades.
func (p *pickup) listQueue() error {
	status, body, done, err := askQmgr(p.site.inst.Run, "GET", "/v1/queue", "")
	if err != nil {
		return queueTrouble("see the queue", err)
	}
	defer done()
	if status != 200 {
		return queueTrouble("see the queue", controlError(status, body))
	}
	out := bufio.NewWriter(p.out)
	err = printQueue(out, body)
	if ferr := out.Flush(); err == nil && ferr != nil {
		err = fail(exIOErr, "write the list: %v", ferr)
	}
	return err
}

// printQueue turns the listing's lines into the classic form.
func printQueue(w io.Writer, body io.Reader) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxQueueItem)
	var count int
	var octets int64
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var item proto.QueueItem
		if err := json.Unmarshal(lines.Bytes(), &item); err != nil {
			return fail(exUnavailable, "the list cannot be read: %v", err)
		}
		if count == 0 {
			fmt.Fprintln(w, "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------")
		}
		count++
		octets += item.Size
		printItem(w, &item)
	}
	if err := lines.Err(); err != nil {
		return fail(exUnavailable, "the list broke off: %v", err)
	}
	switch count {
	case 0:
		fmt.Fprintln(w, "Mail queue is empty")
	case 1:
		fmt.Fprintf(w, "-- %d Kbytes in 1 Request.\n", (octets+1023)/1024)
	default:
		fmt.Fprintf(w, "-- %d Kbytes in %d Requests.\n", (octets+1023)/1024, count)
	}
	return nil
}

// printItem prints one message: "*" marks one that is being tried, "!" a held one.
func printItem(w io.Writer, item *proto.QueueItem) {
	mark := map[string]string{"active": "*", "held": "!"}[item.State]
	sender := item.Sender
	if sender == "" {
		sender = "MAILER-DAEMON"
	}
	arrived := item.Arrived.Local().Format("Mon Jan _2 15:04:05")
	fmt.Fprintf(w, "%-12s%8d %20s %s\n", clean(item.ID)+mark, item.Size, arrived, clean(sender))
	if item.Reason != "" {
		fmt.Fprintf(w, "%41s(%s)\n", "", clean(item.Reason))
	}
	reason := item.Reason
	for _, r := range item.Recipients {
		if r.Reason != "" && r.Reason != reason {
			reason = r.Reason
			fmt.Fprintf(w, "%41s(%s)\n", "", clean(reason))
		}
		fmt.Fprintf(w, "%41s %s\n", "", clean(r.Address))
	}
	fmt.Fprintln(w)
}

func clean(s string) string { return untrusted.From(s).ForTerminal() }

// runQueue is -q: have everything tried now, or one message with -qI. Boot
// and dial-up scripts say it on every machine, so that it is quiet where it has
// nothing to do; -q with a time is what qmgr does by itself.
func (p *pickup) runQueue() error {
	order := proto.QueueOrder{All: true, Reason: "sendmail -q by " + p.user.login}
	if id, one := strings.CutPrefix(p.opts.run, "I"); one {
		parsed, err := queueid.Parse(id)
		if err != nil {
			return fail(exUsage, "option -qI: no queue id: %s", clean(id))
		}
		order.All, order.IDs = false, []string{parsed.String()}
	} else if p.opts.run != "" {
		return nil
	}
	body, err := json.Marshal(order)
	if err != nil {
		return err
	}
	status, answer, done, err := askQmgr(p.site.inst.Run, "POST", "/v1/queue/retry", string(body))
	if errors.Is(err, errNotPermitted) && order.All {
		return nil
	}
	if err != nil {
		return queueTrouble("have the queue tried", err)
	}
	defer done()
	switch {
	case status == 403 && order.All:
		return nil
	case status/100 != 2:
		return queueTrouble("have the queue tried", controlError(status, answer))
	}
	return nil
}

// controlError reads the body of an answer that is no success.
func controlError(status int, body io.Reader) error {
	if status == 403 {
		return errNotPermitted
	}
	var e proto.ControlError
	b, err := io.ReadAll(io.LimitReader(body, proto.ControlMax))
	if err != nil || json.Unmarshal(b, &e) != nil || e.Error == "" {
		return fmt.Errorf("refused with status %d", status)
	}
	return errors.New(clean(e.Error))
}

// queueTrouble gives an error of askQmgr its exit status.
func queueTrouble(what string, err error) error {
	switch {
	case errors.Is(err, errNotPermitted):
		return fail(exNoPerm, "%v %s", err, what)
	case errors.Is(err, errDown):
		return &failure{
			status: exUnavailable, down: true,
			text: fmt.Sprintf("%v; \"mtactl start\" starts it (\"mtactl -C DIR start\" a private instance)", err),
		}
	}
	return fail(exUnavailable, "%s: %v", what, err)
}
