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
)

// maxMine bounds an answer about one message.
const maxMine = 16 << 20

// errHistory is the answer of a machine that remembers nothing.
var errHistory = errors.New("the history is not available")

// askMine sends one request of proto/people.go. Anybody may: who this is, the other
// side asks the kernel.
func (p *pickup) askMine(name, method, path, body string) (int, io.Reader, func(), error) {
	return ask(p.site.inst.Mine(name), method, path, body)
}

// listMine is mailq of somebody who is no administrator: his own mail.
func (p *pickup) listMine() error {
	path := "/v1/mine"
	if p.opts.mailq.all {
		path += "?all=1"
	}
	status, body, done, err := p.askMine(proto.MineQmgr, "GET", path, "")
	if err != nil {
		return queueTrouble("see the queue", err)
	}
	defer done()
	if status != 200 {
		return mineTrouble("see the queue", status, body)
	}
	out := bufio.NewWriter(p.out)
	if p.opts.mailq.json {
		_, err = io.Copy(out, body)
	} else {
		err = p.printMine(out, body)
	}
	if ferr := out.Flush(); err == nil && ferr != nil {
		err = fail(exIOErr, "write the list: %v", ferr)
	}
	return err
}

// printMine turns the list's lines into words.
func (p *pickup) printMine(w io.Writer, body io.Reader) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxMine)
	count := 0
	for lines.Scan() {
		var item proto.MineItem
		if err := json.Unmarshal(lines.Bytes(), &item); err != nil {
			return fail(exUnavailable, "the list cannot be read: %v", err)
		}
		if item.More > 0 {
			fmt.Fprintf(w, "... and %d more, which are newer.\n", item.More)
			continue
		}
		count++
		printWaiting(w, &item, p.now(), p.opts.mailq.all)
	}
	if err := lines.Err(); err != nil {
		return fail(exUnavailable, "the list broke off: %v", err)
	}
	if count == 0 {
		what := "No mail of yours is waiting."
		if p.opts.mailq.all {
			what = "No mail is waiting."
		}
		fmt.Fprintln(w, what)
	}
	return nil
}

// traceMine is --trace: what was tried so far.
func (p *pickup) traceMine() error {
	id, err := queueid.Parse(p.opts.mailq.id)
	if err != nil {
		return fail(exUsage, "--trace: no queue id: %s", clean(p.opts.mailq.id))
	}
	status, body, done, err := p.askMine(proto.MineQmgr, "GET", "/v1/mine/"+id.String(), "")
	if err != nil {
		return queueTrouble("see the message", err)
	}
	defer done()
	if status != 200 {
		return mineTrouble("see the message", status, body)
	}
	if p.opts.mailq.json {
		_, err = io.Copy(p.out, body)
		return err
	}
	var m proto.MineMessage
	if err := json.NewDecoder(io.LimitReader(body, maxMine)).Decode(&m); err != nil {
		return fail(exUnavailable, "the answer cannot be read: %v", err)
	}
	out := bufio.NewWriter(p.out)
	printTrace(out, &m, p.now())
	return out.Flush()
}

// cancelMine is --cancel.
func (p *pickup) cancelMine() error {
	id, err := queueid.Parse(p.opts.mailq.id)
	if err != nil {
		return fail(exUsage, "--cancel: no queue id: %s", clean(p.opts.mailq.id))
	}
	req, err := json.Marshal(proto.MineCancel{ID: id.String(), Recipients: p.opts.operands})
	if err != nil {
		return err
	}
	status, body, done, err := p.askMine(proto.MineQmgr, "POST", "/v1/mine/cancel", string(req))
	if err != nil {
		return queueTrouble("cancel the message", err)
	}
	defer done()
	if status != 200 {
		return mineTrouble("cancel the message", status, body)
	}
	text, err := io.ReadAll(io.LimitReader(body, maxMine))
	var res proto.MineCancelled
	if err == nil {
		err = json.Unmarshal(text, &res)
	}
	if err != nil {
		return fail(exUnavailable, "the answer cannot be read: %v", err)
	}
	if p.opts.mailq.json {
		_, err = p.out.Write(text)
		return errors.Join(err, cancelStatus(&res))
	}
	fmt.Fprintln(p.out, clean(res.Said))
	for _, r := range res.TooLate {
		fmt.Fprintf(p.out, "    %s: %s\n", clean(r.Address), clean(r.State))
	}
	return cancelStatus(&res)
}

// cancelStatus gives what came of it an exit status.
func cancelStatus(res *proto.MineCancelled) error {
	switch res.State {
	case "cancelled", "partly":
		return nil
	case "pending":
		return fail(exTempFail, "not cancelled yet")
	}
	return fail(exUnavailable, "nothing was cancelled")
}

// historyMine is --history, of all or of one message.
func (p *pickup) historyMine() error {
	path := "/v1/mine/history"
	if len(p.opts.operands) > 0 {
		id, err := queueid.Parse(p.opts.operands[0])
		if err != nil || len(p.opts.operands) > 1 {
			return fail(exUsage, "--history: one queue id, or none: %s", clean(strings.Join(p.opts.operands, " ")))
		}
		path += "?id=" + id.String()
	}
	status, body, done, err := p.askMine(proto.MineMTADB, "GET", path, "")
	if err != nil {
		return fail(exUnavailable, "%v: the program that keeps it is not running", errHistory)
	}
	defer done()
	switch {
	case status == 404 || status == 503:
		return fail(exUnavailable, "%v: %v", errHistory, controlError(status, body))
	case status != 200:
		return mineTrouble("see the history", status, body)
	}
	out := bufio.NewWriter(p.out)
	if p.opts.mailq.json {
		_, err = io.Copy(out, body)
	} else {
		err = p.printHistory(out, body)
	}
	return errors.Join(err, out.Flush())
}

func (p *pickup) printHistory(w io.Writer, body io.Reader) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxMine)
	count := 0
	for lines.Scan() {
		var m proto.HistoryMessage
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return fail(exUnavailable, "the history cannot be read: %v", err)
		}
		if m.Error != "" {
			return fail(exUnavailable, "the history is not whole: %s", clean(m.Error))
		}
		count++
		printPath(w, &m, p.now())
	}
	if err := lines.Err(); err != nil {
		return fail(exUnavailable, "the history broke off: %v", err)
	}
	if count == 0 {
		fmt.Fprintln(w, "Nothing of yours is remembered.")
	}
	return nil
}

// mineTrouble gives a refusal its words and exit status.
func mineTrouble(what string, status int, body io.Reader) error {
	var e proto.ControlError
	text, err := io.ReadAll(io.LimitReader(body, proto.ControlMax))
	if err != nil || json.Unmarshal(text, &e) != nil || e.Error == "" {
		e.Error = fmt.Sprintf("refused with status %d", status)
	}
	said := clean(e.Error)
	if e.Hint != "" {
		said += " (" + clean(e.Hint) + ")"
	}
	code := exUnavailable
	switch status {
	case 403:
		code = exNoPerm
	case 404:
		code = exNoInput
	case 400, 422:
		code = exDataErr
	case 429:
		code = exTempFail
	}
	return fail(code, "%s: %s", what, said)
}
