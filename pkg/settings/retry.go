package settings

import "time"

// Retry is one rule for mail that failed for the moment: when it is tried again,
// and how long. The rules are asked in the order in which they stand, of the
// host or address that failed and of the kind of failure; the first that matches
// decides. Behind those of the file stand three that are built in: "reports" (5
// minutes and growing, for 1 day), "never-listens" (refused connections of domains
// without MX records, for 6 hours; later messages are tried once) and "default" (5
// minutes, growing to 4 hours, for 5 days). One of the same name in the file takes
// their place. `mtactl simulate` shows what the rules would do.
type Retry struct {
	// Name appears in reports and logs.
	Name string `toml:"name" json:"name"`
	// Match limits the rule to recipients and servers (patterns): one with an @ is
	// for addresses of recipients, others are for their domains and for the names of
	// servers. "lookup:NAME" is for whatever the lookup NAME has of the three: it is asked
	// for the address, then the domain, then the server. While it can't tell, mail is
	// returned only when it would be whatever it said.
	Match []string `toml:"match" json:"match,omitempty"`
	// On limits the rule to kinds of failure: refused, timeout, unreachable, reset,
	// protocol, tls, auth, greeting, helo (the server could not be used); mail, rcpt,
	// data, content, policy-4xx (it refused for the moment); dns, no-mx, null-mx, no-domain,
	// loop, unknown-user, policy (no way was found); quota, mailbox-locked,
	// home-missing, disk-full, permission, command (mailboxes and commands here);
	// internal. "connection" stands for the first five, "local" for the mailboxes.
	// The time of such a rule counts from when that kind began.
	On []string `toml:"on" json:"on,omitempty"`
	// Codes limits the rule to replies of servers: "450", "45?", "4.2.2", "4.7.*".
	Codes []string `toml:"codes" json:"codes,omitempty"`
	// MX limits the rule to domains that have MX records (true), or none (false).
	MX *bool `toml:"mx" json:"mx,omitempty"`
	// Senders limits the rule to mail of these senders (patterns); "<>" is the
	// suite's own reports and others', for which "lookup:NAME" is not asked.
	Senders []string `toml:"senders" json:"senders,omitempty"`
	// Phases are the waits between attempts, one phase after the other, as
	// { every = "15m", until = "1h" } or { from = "15m", factor = 1.5, max = "4h",
	// until = "5 days" }. They count from the first failure in a row of the host or
	// address, so that a new message for a host that has been down for a day begins with
	// a long wait. A message is returned at the age at which the last phase ends.
	Phases []Phase `toml:"phases" json:"phases"`
	// Jitter is by how much in percent a wait may be stretched, so that what failed
	// together is not tried together for ever. Default: 10.
	Jitter *int `toml:"jitter" json:"jitter,omitempty"`
	// Afterwards is what later messages get after one for the same host or address
	// was given up: "again" (the whole schedule) or "once" (a single attempt, until
	// something succeeds). Default: "again".
	Afterwards string `toml:"afterwards" json:"afterwards"`
}

// Phase is a part of a retry rule: a wait that stays the same (every), or one that
// grows (from, factor, max).
type Phase struct {
	// Every is the wait of a phase in which it does not grow.
	Every Duration `toml:"every" json:"every,omitempty"`
	// From is the first wait of a phase in which it grows.
	From Duration `toml:"from" json:"from,omitempty"`
	// Factor multiplies the wait after each attempt. Default: 1.5.
	Factor float64 `toml:"factor" json:"factor,omitempty"`
	// Max is the longest wait of a phase in which it grows. Default: 4h, or from.
	Max Duration `toml:"max" json:"max,omitempty"`
	// Until is when the phase ends, counted from the first failure.
	Until Duration `toml:"until" json:"until"`
}

// What a rule may say of later messages.
const (
	AfterwardsOnce  = "once"
	AfterwardsAgain = "again"
)

// refusedKind is the kind of failure of a host on which nobody listens.
const refusedKind = "refused"

// DefaultRetry are the rules behind those of the file.
func DefaultRetry() []Retry {
	no := false
	growing := func(until time.Duration) []Phase {
		return []Phase{{From: Duration(5 * time.Minute), Factor: 1.5, Max: Duration(4 * time.Hour), Until: Duration(until)}}
	}
	list := []Retry{
		{Name: "reports", Senders: []string{"<>"}, Phases: growing(24 * time.Hour)},
		{Name: "never-listens", On: []string{refusedKind}, MX: &no, Afterwards: AfterwardsOnce, Phases: []Phase{
			{Every: Duration(15 * time.Minute), Until: Duration(time.Hour)},
			{Every: Duration(time.Hour), Until: Duration(6 * time.Hour)},
		}},
		{Name: "default", Phases: growing(5 * 24 * time.Hour)},
	}
	for i := range list {
		list[i] = list[i].Complete()
	}
	return list
}

// Complete fills a rule's unset values.
func (r Retry) Complete() Retry {
	if r.Jitter == nil {
		ten := 10
		r.Jitter = &ten
	}
	if r.Afterwards == "" {
		r.Afterwards = AfterwardsAgain
	}
	r.Phases = append([]Phase(nil), r.Phases...)
	for i := range r.Phases {
		r.Phases[i] = r.Phases[i].complete()
	}
	return r
}

func (p Phase) complete() Phase {
	if p.From == 0 {
		return p
	}
	if p.Factor == 0 {
		p.Factor = 1.5
	}
	if p.Max == 0 {
		p.Max = max(p.From, Duration(4*time.Hour))
	}
	return p
}

// LongestRetry is the age at which mail with the most patience is given up.
func (s *Settings) LongestRetry() Duration {
	most := Duration(0)
	for _, r := range s.Retry {
		if n := len(r.Phases); n > 0 {
			most = max(most, r.Phases[n-1].Until)
		}
	}
	return most
}
