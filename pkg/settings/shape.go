package settings

// Shape is how fast mail goes to one destination: what transports and providers have
// in common.
type Shape struct {
	// StartConcurrency is how many deliveries at once a destination gets at first (smtp,
	// lmtp). Each window of successes adds one, up to what is allowed:
	// connections_per_host and limits.per_destination, or the deliveries of a provider; a
	// connection that fails, or a reply 421, halves them.
	StartConcurrency int `toml:"start_concurrency" json:"start_concurrency,omitempty"`
	// Rate is how many deliveries to one destination may begin within a time (smtp, lmtp):
	// "100 per minute"; the times are second, minute, hour and day. A delivery is one
	// message with up to max_recipients recipients. What has no place waits, and does
	// not count as tried. "" = any number.
	Rate string `toml:"rate" json:"rate,omitempty"`
	// BackOffReplies are patterns of replies by which a server asks for less mail: "421",
	// "4.7.28", "421 4.7.*" (both codes) or "/too many/" for the text. Behind one of them
	// the destination gets nothing for back_off_pause, and then one delivery at a time
	// at first. Such a server does not count as failed.
	BackOffReplies []string `toml:"back_off_replies" json:"back_off_replies,omitempty"`
	// BackOffPause: see BackOffReplies. Default: 5 minutes.
	BackOffPause Duration `toml:"back_off_pause" json:"back_off_pause,omitempty"`
	// WarmUp has a rate grow day by day until it is what rate says, so that servers come
	// to know an address that has sent no mail before: { from = "2026-12-01", days = 30,
	// first = "50 per day" }. The day changes at midnight UTC; each day has the same
	// factor more than the one before; before the first day it is as on that. It holds
	// for each destination, as rate does. Of several source addresses, sources = [...]
	// names those that are new; without it all are.
	WarmUp *WarmUp `toml:"warm_up" json:"warm_up,omitempty"`
}

// WarmUp is a rate that grows day by day.
type WarmUp struct {
	// From is the first day, "2026-12-01".
	From string `toml:"from" json:"from"`
	// Days is how many days it takes.
	Days int `toml:"days" json:"days"`
	// First is the rate of the first day, "50 per day".
	First string `toml:"first" json:"first"`
	// Sources are the source addresses that it is for; none = all.
	Sources []string `toml:"sources" json:"sources,omitempty"`
}

// Provider is somebody who takes the mail of many domains. Mail to all of them, by the
// names of the hosts to which they send their mail, shares one pace: a provider counts
// deliveries from here, and not domains. Each transport has a pace of its own there, and
// with more than one of source_addresses each of these.
type Provider struct {
	// MX are the hosts of the provider (patterns of names, like "*.mx.example.net"). The
	// first host of a route decides; of several providers the first by name.
	MX []string `toml:"mx" json:"mx"`
	// Deliveries bounds the simultaneous deliveries to the provider; 0 = as for one
	// destination.
	Deliveries int `toml:"deliveries" json:"deliveries,omitempty"`
	// What is not set here is as in the transport.
	Shape
}

// Over is the shape of a provider for one transport, whose settings are used where the
// provider's are not set.
func (p *Provider) Over(t *Transport) Shape {
	s := p.Shape
	setInt(&s.StartConcurrency, t.StartConcurrency)
	setDuration(&s.BackOffPause, t.BackOffPause.D())
	if s.Rate == "" {
		s.Rate = t.Rate
	}
	if s.BackOffReplies == nil {
		s.BackOffReplies = t.BackOffReplies
	}
	if s.WarmUp == nil {
		s.WarmUp = t.WarmUp
	}
	return s
}
