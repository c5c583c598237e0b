package history

import (
	"slices"
	"strconv"
)

// ForSubmitter is what the local user who submitted a message may see of it, or
// false when it is not his.
//
// A message is his when cleanup's own line says so by the uid that the kernel told it.
// He sees what became of the recipients that he named. Where an alias or
// a forward file led is its owner's to tell: of an address that was expanded he
// sees that it went on, and how that ended, not where to, nor what was said there.
func ForSubmitter(events []Event, uid uint32) ([]Event, bool) {
	if !submittedBy(events, uid) {
		return nil, false
	}
	var out []Event
	for i := range events {
		keep, ok := shown[events[i].Verb]
		if !ok {
			continue
		}
		out = append(out, only(&events[i], keep))
	}
	return out, true
}

func submittedBy(events []Event, uid uint32) bool {
	want := strconv.FormatUint(uint64(uid), 10)
	mine := false
	for i := range events {
		if e := &events[i]; e.Verb == "received" {
			if e.By != "cleanup" || e.Get("uid") != want {
				return false
			}
			mine = true
		}
	}
	return mine
}

// shown are the keys of each event that its submitter sees; other events are the
// administrator's.
var shown = map[string][]string{
	"received":  {"from", "nrcpt", "size", "proto", "msgid"},
	"delivered": settled, "deferred": settled, "failed": settled,
	"expanded": {"to"},
	"finished": {}, "filed": {"waiting", "why"}, "reported": {"what", "nrcpt"},
	"held": {"reason"}, "released": {"reason"}, "retried": {}, "returned": {"reason"}, "deleted": {"reason"},
}

var (
	settled = []string{"to", "via", "host", "ip", "tls", "code", "status", "kind", "n", "took", "age", "said"}
	// beyond is for what an address was expanded to.
	beyond = []string{"orig", "status", "n", "age"}
)

func only(e *Event, keys []string) Event {
	if e.Has("orig") || e.Has("target") {
		keys = beyond
	}
	out := Event{At: e.At, ID: e.ID, Verb: e.Verb, By: e.By}
	for _, f := range e.Fields {
		if slices.Contains(keys, f.Key) {
			if f.Key == "orig" {
				f.Key = "to"
			}
			out.Fields = append(out.Fields, f)
		}
	}
	return out
}
