package localdeliver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"filbert/pkg/envelope"
	"filbert/pkg/message"
	"filbert/pkg/outcome"
	"filbert/pkg/rewrite"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// headerGrown bounds a rewritten header: addresses may get longer, not endless.
const headerGrown = 4 * headerScan

// change makes of the header what the configuration wants of mail that leaves
// this way, in the order in which the mail meets it: what directors and routers
// edit, the rules of the transport, what the transport edits. Return-Path and
// Delivered-To are put in front of all later.
func (w *worker) change(d *delivery) *outcome.Outcome {
	rules, err := w.rules.get(d.Rules, d.t.Rewrites)
	if err != nil {
		return deferred(outcome.Internal, statusConfig, "transport %q: %v", d.Job.Transport, err)
	}
	d.text.edit(d.Job.Edit)
	if len(d.Rules) > 0 {
		if err := d.rewrite(rules); err != nil {
			return deferred(outcome.Internal, statusConfig, "transport %q: rewrite: %v", d.Job.Transport, err)
		}
	}
	own, err := d.ownEdit()
	if err != nil {
		return deferred(outcome.Internal, statusConfig, "transport %q: %v", d.Job.Transport, err)
	}
	d.text.edit(own)
	return nil
}

// rewrite applies the rules of the transport. Who reads the mail sees the
// sender as the rules make him, wherever he stands.
func (d *delivery) rewrite(rules rewrite.Set) error {
	sender, err := rules.Apply("envelope-sender", d.Job.Sender, nil)
	if err != nil {
		return err
	}
	head, rest := d.text.split()
	made, err := rules.Header(scan(head), head, headerGrown, nil)
	if err != nil {
		return err
	}
	d.Job.Sender, d.text.header = sender, slices.Concat(made, rest)
	return nil
}

// ownEdit is what the transport changes in the header.
func (d *delivery) ownEdit() (*envelope.Edit, error) {
	e := &envelope.Edit{}
	for _, name := range d.t.HeadersRemove {
		e.Remove = append(e.Remove, strings.ToLower(name))
	}
	for _, template := range d.t.HeadersAdd {
		field, err := expand(template, d.headerValue)
		if err != nil {
			return nil, err
		}
		name, value, found := strings.Cut(field, ":")
		if !found {
			return nil, fmt.Errorf("%w: %q is no header field", errTemplate, template)
		}
		// Whatever a value brought: a field is one line.
		e.Add = append(e.Add, name+":"+untrusted.From(value).ForHeader())
	}
	return e, nil
}

// headerValue gives a placeholder for a field that is added.
func (d *delivery) headerValue(name string) (string, error) {
	switch name {
	case "local_part", "domain", "recipient", "sender":
		v, err := d.value(name)
		return untrusted.From(v).ForHeader(), err
	}
	return "", fmt.Errorf("%w: there is no placeholder {%s}", errTemplate, name)
}

// scan takes a header apart that begin has bounded already.
func scan(head []byte) message.Header {
	h, _ := message.Scan(head, message.Limits{Fields: math.MaxInt, Octets: math.MaxInt})
	return h // its one error is that of the limits
}

// split is the header that was read ahead: its fields, and what follows them. Of a
// header that was too long to be read whole it is all but the field in which the
// reading ended.
func (t *text) split() (head, rest []byte) {
	h := scan(t.header)
	if t.cut && len(h.Fields) > 0 {
		h.End = h.Fields[len(h.Fields)-1].Start
	}
	return t.header[:h.End:h.End], t.header[h.End:]
}

// edit changes the header. Fields are added at its end; where that has not been
// read they stand in front, where they are a part of the header, too.
func (t *text) edit(e *envelope.Edit) {
	if e.IsEmpty() {
		return
	}
	head, rest := t.split()
	if !t.cut {
		t.header = slices.Concat(scan(head).Edited(e.Remove, e.Add), rest)
		return
	}
	var added bytes.Buffer
	for _, field := range e.Add {
		added.WriteString(field + "\r\n")
	}
	t.header = slices.Concat(added.Bytes(), scan(head).Edited(e.Remove, nil), rest)
}

// ruleSet keeps the rules that a child has compiled last: a burst of mail goes
// by one transport.
type ruleSet struct {
	mu  sync.Mutex
	of  string
	set rewrite.Set
}

// get compiles rules, of which the names are the transport's.
func (r *ruleSet) get(encoded []byte, names []string) (rewrite.Set, error) {
	if len(encoded) == 0 {
		return rewrite.Set{}, nil
	}
	key := string(encoded) + "\n" + strings.Join(names, "\n")
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == key {
		return r.set, nil
	}
	var list []settings.Rewrite
	if err := json.Unmarshal(encoded, &list); err != nil {
		return rewrite.Set{}, fmt.Errorf("read the rewriting rules: %w", err)
	}
	rules, err := rewrite.Compile(list, nil)
	if err != nil {
		return rewrite.Set{}, err
	}
	r.of, r.set = key, rules.Outgoing(names)
	return r.set, nil
}
