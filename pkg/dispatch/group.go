package dispatch

import (
	"net/netip"

	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// job is some recipients that go in one delivery: indexes into the flight's
// leaves. A remote job is one SMTP transaction; a local job has one leaf.
type job struct {
	leaves    []int
	transport string
	nextHop   string
	sender    mailaddr.Address // envelope sender: the message's, or a list's owner
	list      bool             // members of a list: what the sender asked for ends there
	remote    bool
	dest      destKey      // whose limits count
	sources   []netip.Addr // see chooseSource
}

// groupKey is what recipients must share to go in one transaction.
type groupKey struct {
	transport, nextHop string
	sender             mailaddr.Address
	list               bool
	edit               string
	login              bool
	credentials        proto.Credentials
	// by is who named the hosts: two routers may know a domain by different ones.
	by string
}

func keyOf(l *proto.Leaf, j *job) groupKey {
	k := groupKey{transport: l.Transport, nextHop: l.NextHop, sender: j.sender, list: j.list, edit: l.Edit.Key()}
	if l.Credentials != nil {
		k.login, k.credentials = true, *l.Credentials
	}
	if len(l.Hosts) > 0 {
		k.by = l.By
	}
	return k
}

// group makes jobs of the leaves that have no verdict yet: one transaction for
// all recipients of one router, transport, next hop, envelope sender, change to the
// header and login, split at the transport's limit; each local leaf by itself. Order
// follows the leaves.
func group(leaves []proto.Leaf, sender mailaddr.Address, transports map[string]settings.Transport) []job {
	if len(leaves) == 1 && leaves[0].Verdict.Class == 0 {
		return []job{newJob(0, &leaves[0], sender, transports)}
	}
	var jobs []job
	open := map[groupKey]int{} // the job of this key that still has room
	for i := range leaves {
		l := &leaves[i]
		if l.Verdict.Class != 0 {
			continue
		}
		j := newJob(i, l, sender, transports)
		if !j.remote {
			jobs = append(jobs, j)
			continue
		}
		key := keyOf(l, &j)
		at, ok := open[key]
		if ok && len(jobs[at].leaves) < maxRecipients(transports[l.Transport]) {
			jobs[at].leaves = append(jobs[at].leaves, i)
			continue
		}
		open[key] = len(jobs)
		jobs = append(jobs, j)
	}
	return jobs
}

func newJob(i int, l *proto.Leaf, sender mailaddr.Address, transports map[string]settings.Transport) job {
	if l.Recipient.ErrorsTo != nil && !sender.IsNull() {
		sender = *l.Recipient.ErrorsTo
	}
	j := job{
		leaves:    []int{i},
		transport: l.Transport,
		nextHop:   l.NextHop,
		sender:    sender,
		list:      l.Recipient.ErrorsTo != nil,
		remote:    isRemote(transports[l.Transport].Driver),
		dest:      destKey{transport: l.Transport, place: l.NextHop},
	}
	switch {
	case j.remote:
	case l.User != nil:
		j.dest.place = l.User.Name // a home that hangs holds up its user alone
	default:
		j.dest.place = l.Recipient.User
	}
	return j
}

func isRemote(driver string) bool { return driver == "smtp" || driver == "lmtp" }

func maxRecipients(t settings.Transport) int {
	if t.MaxRecipients <= 0 {
		return 1
	}
	return t.MaxRecipients
}
