package bounce

import (
	"strings"

	"filbert/pkg/dsn"
	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/message"
	"filbert/pkg/proto"
)

// decision is what is to be sent. Without recipients nothing is.
type decision struct {
	what  dsn.What
	to    mailaddr.Address
	about []int // indexes of the request's recipients
}

// decide applies NOTIFY and the rules against loops. postmaster is where a
// failing report goes.
func decide(m *proto.Report, postmaster mailaddr.Address) decision {
	d := decision{what: whats[m.What], to: m.Envelope.Sender}
	if d.to.IsNull() {
		// RFC 5321, section 4.5.5: a message with a null sender is never
		// answered. If it was ours, somebody should know: the postmaster, once.
		if m.Envelope.Source != envelope.FromBounce || m.What != proto.ReportFailure || goesTo(m, postmaster) {
			return decision{}
		}
		d.what, d.to = dsn.Double, postmaster
		d.about = all(m)
		return d
	}
	for i := range m.Envelope.Recipients {
		r := &m.Envelope.Recipients[i]
		if (wants(m.What, r.Notify) || traced(m, r.Notify)) && !(d.isNews() && r.ErrorsTo != nil) {
			d.about = append(d.about, i)
		}
	}
	return d
}

// isNews: the report tells of a delay, or that it is over. That is for people who
// wait for an answer: never for lists, nor for what a program has sent.
func (d *decision) isNews() bool { return d.what == dsn.Delay || d.what == dsn.After }

// isAutomatic tells from the header of a message whether a list or a program sent
// it (RFC 3834, section 2; RFC 2919).
func isAutomatic(header []byte) bool {
	h, err := message.Scan(header, message.DefaultLimits())
	if err != nil {
		return false
	}
	if h.HasField("List-Id") {
		return true
	}
	for _, f := range h.All("Precedence") {
		switch strings.ToLower(strings.TrimSpace(h.Value(f).ForHeader())) {
		case "bulk", "list", "junk":
			return true
		}
	}
	for _, f := range h.All("Auto-Submitted") {
		word, _, _ := strings.Cut(h.Value(f).ForHeader(), ";")
		if !strings.EqualFold(strings.TrimSpace(word), "no") {
			return true
		}
	}
	return false
}

var whats = map[proto.ReportKind]dsn.What{
	proto.ReportFailure: dsn.Failure,
	proto.ReportDelay:   dsn.Delay,
	proto.ReportSuccess: dsn.Success,
	proto.ReportAfter:   dsn.After,
}

// wants is RFC 3461, section 4.1: without NOTIFY failures are reported, and
// delays as the site sees fit; with it, what it names.
func wants(what proto.ReportKind, n envelope.Notify) bool {
	switch what {
	case proto.ReportFailure:
		return n == 0 || n.Has(envelope.NotifyFailure)
	case proto.ReportDelay:
		return n == 0 || n.Has(envelope.NotifyDelay)
	case proto.ReportAfter: // who asked for a confirmation has one
		return wants(proto.ReportDelay, n) && !n.Has(envelope.NotifySuccess)
	}
	return n.Has(envelope.NotifySuccess)
}

// traced tells whether a confirmation is due as the sender gave a time by which to
// deliver (RFC 2852, section 4.1.4): dispatch sends it where a server has taken over.
func traced(m *proto.Report, n envelope.Notify) bool {
	by := &m.Envelope.DeliverBy
	return m.What == proto.ReportSuccess && (by.Trace || by.Mode == envelope.ByNotify) && !n.Has(envelope.NotifyNever)
}

// wasPromised: a sender who gave a time with mode N is told of the delay, be it a program.
func wasPromised(m *proto.Report) bool {
	return m.What == proto.ReportDelay && m.Envelope.DeliverBy.Mode == envelope.ByNotify
}

// goesTo tells whether the failed report was itself one to the postmaster: then
// there is nobody left to tell.
func goesTo(m *proto.Report, postmaster mailaddr.Address) bool {
	for i := range m.Envelope.Recipients {
		r := &m.Envelope.Recipients[i]
		if r.Address == postmaster || len(r.Lineage) > 0 && r.Lineage[0] == postmaster {
			return true
		}
	}
	return false
}

func all(m *proto.Report) []int {
	idx := make([]int, len(m.Envelope.Recipients))
	for i := range idx {
		idx[i] = i
	}
	return idx
}
