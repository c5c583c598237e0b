package proto

import (
	"net/netip"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/wire"
)

// The arrow that asks where mail goes: dispatch -> router; smtpd, to learn
// whether a recipient exists; and master, on behalf of `mtactl explain`.
//
//	1. C: RouteQuery    the sender and the recipients of one message
//	2. S: RouteAnswer   for each recipient, in order: the leaves of its expansion;
//	                    or how many there are, when that is more than there is room for
//
// router routes once for each distinct domain in the query. Who may call:
// dispatch, smtpd, master.

// RouteQuery asks about some recipients.
type RouteQuery struct {
	Sender     mailaddr.Address
	Recipients []envelope.Recipient
	Explain    bool // fill in RouteAnswer.Trace
	// Most is how many leaves the caller has room for; 0 for all that an answer
	// holds.
	Most uint32
	// Origin is where the message came from, for entries with conditions on it.
	Origin Origin
	// Verify asks whether mail for the recipients would be taken, instead of where
	// to deliver it: entries with verify = false are not asked.
	Verify Verify
	// Override names the hosts that everything goes to, as a router's setting hosts
	// does, separated by spaces: neither directors nor routers are asked. It is how a
	// standing order reroutes. "" = they are.
	Override string
}

// Origin is where a message came from.
type Origin struct {
	Source   envelope.Source // 0 = not known, and no condition on it holds
	Client   netip.Addr      // invalid for what came from this machine's programs
	Listener string          // by name
	Login    string          // authenticated, or the local user's name
	Size     int64           // octets; 0 = not known yet
}

// OriginOf is the origin of a message that was accepted.
func OriginOf(v *envelope.Envelope) Origin {
	return Origin{Source: v.Source, Client: v.Client.Addr, Listener: v.Client.Port, Login: v.Client.Login, Size: v.Size}
}

// Verify says what a query is for.
type Verify uint8

// The purposes.
const (
	VerifyOff     Verify = 0 // to deliver
	VerifyRoute   Verify = 1 // by the directors and routers alone
	VerifyCallout Verify = 2 // and the server that they lead to is asked
)

// Kind is KindRouteQuery.
func (*RouteQuery) Kind() uint16 { return KindRouteQuery }

// EncodeTo appends the message.
func (m *RouteQuery) EncodeTo(e *wire.Encoder) {
	m.Sender.EncodeTo(e)
	e.Bool(m.Explain)
	e.U32(m.Most)
	m.Origin.encodeTo(e)
	e.U8(uint8(m.Verify))
	encodeWords(e, m.Override, maxWords)
	e.Count(len(m.Recipients))
	for i := range m.Recipients {
		m.Recipients[i].EncodeTo(e)
	}
}

// DecodeFrom reads it.
func (m *RouteQuery) DecodeFrom(d *wire.Decoder) {
	m.Sender = mailaddr.DecodeFrom(d)
	m.Explain = d.Bool()
	m.Most = d.U32()
	m.Origin.decodeFrom(d)
	if m.Verify = Verify(d.U8()); m.Verify > VerifyCallout {
		d.Fail("verify %d", m.Verify)
	}
	m.Override = d.String(maxWords)
	m.Recipients = make([]envelope.Recipient, d.Count(envelope.MaxRecipients, 8))
	for i := range m.Recipients {
		m.Recipients[i].DecodeFrom(d)
	}
}

func (o *Origin) encodeTo(e *wire.Encoder) {
	e.U8(uint8(o.Source))
	addr, _ := o.Client.MarshalBinary()
	e.Bytes(addr)
	e.String(o.Listener)
	e.String(o.Login)
	e.I64(o.Size)
}

func (o *Origin) decodeFrom(d *wire.Decoder) {
	o.Source = envelope.Source(d.U8())
	if err := o.Client.UnmarshalBinary(d.Bytes(64)); err != nil {
		d.Fail("client address: %v", err)
	}
	o.Listener = d.String(maxWords)
	o.Login = d.String(maxWords)
	o.Size = d.I64()
}

// RouteAnswer has the leaves of all recipients; Leaf.Parent says whose each is.
type RouteAnswer struct {
	Leaves []Leaf
	Trace  []Step // Explain: what was asked, in order
	// TooMany is how many leaves there would have been, instead of any, when they
	// are more than Most.
	TooMany uint32
}

// Leaf is one end of an expansion: a delivery to make, or a verdict.
type Leaf struct {
	// Parent is the index of the recipient in the query.
	Parent int
	// Recipient is whom to deliver to; equal to the parent's unless expanded.
	Recipient envelope.Recipient
	// Expanded is true when the parent was replaced (alias, list): a success
	// is then reported as "expanded" for the parent.
	Expanded bool
	// Verdict is set (Class != 0) when the router decided: failed, deferred,
	// or delivered (:blackhole:). Otherwise the fields below say how to deliver.
	Verdict outcome.Outcome
	// Director or Router is the name of who took it.
	By string
	// Transport is the name in settings.Transports.
	Transport string
	// NextHop keys limits and grouping: the domain or host, lower case; "" for
	// local deliveries.
	NextHop string
	// Hosts are tried in this order (already sorted and shuffled).
	Hosts []Host
	// Local deliveries: who the mailbox belongs to.
	User *User
	// Detail is what followed the separator of the local part.
	Detail string
	// Edit is what is changed in the header for this delivery, with that of
	// Recipient.Edit in it; nil = nothing.
	Edit *envelope.Edit
	// Credentials are for the hosts, nil = none, or the transport's.
	Credentials *Credentials
	// Once: a failure for the moment is final (retry = false).
	Once bool
}

// Credentials log in to a server. They are never written anywhere.
type Credentials struct {
	Username, Password string
}

// Step is one line of an explanation.
type Step struct {
	Depth  int    `json:"depth"`
	Kind   string `json:"kind"`             // "address", "director", "router", "lookup", "note"
	Name   string `json:"name,omitempty"`   // of the address, director, router or lookup
	Driver string `json:"driver,omitempty"` // of directors and routers
	// Did is what it did: "took", "redirected", "declined", "skipped" (a condition
	// does not hold), "failed", "deferred"; of a lookup "found", "not found".
	Did string `json:"did,omitempty"`
	Why string `json:"why,omitempty"` // in words: which condition, which value
}

// Host is one server to try.
type Host struct {
	Name  string // for the log and the report
	Addr  netip.AddrPort
	Pref  uint16
	Local bool // reserved: this machine
	MX    MX
}

// MX says how a host was found.
type MX uint8

// The ways.
const (
	MXNotAsked MX = 0 // named by the configuration, or an address literal
	MXRecord   MX = 1
	MXImplied  MX = 2 // the domain has no MX records: it is its own mail server
)

// User is who a local delivery is for.
type User struct {
	Name  string
	Group string // by name; "" = the account's own
	UID   uint32
	GID   uint32
	Home  string
}

// Kind is KindRouteAnswer.
func (*RouteAnswer) Kind() uint16 { return KindRouteAnswer }

// EncodeTo appends the message. A list of hosts that several leaves share (the
// same slice) crosses once: a mailing list has thousands of leaves and few
// domains.
func (m *RouteAnswer) EncodeTo(e *wire.Encoder) {
	lists, at := distinctHosts(m.Leaves)
	e.Count(len(lists))
	for _, hosts := range lists {
		encodeHosts(e, hosts)
	}
	e.Count(len(m.Leaves))
	for i := range m.Leaves {
		m.Leaves[i].encodeTo(e)
		e.U32(at[i])
	}
	e.Count(len(m.Trace))
	for _, s := range m.Trace {
		e.U32(uint32(s.Depth))
		for _, text := range []string{s.Kind, s.Name, s.Driver, s.Did, s.Why} {
			encodeWords(e, text, maxTrace)
		}
	}
	e.U32(m.TooMany)
}

// DecodeFrom reads it.
func (m *RouteAnswer) DecodeFrom(d *wire.Decoder) {
	lists := make([][]Host, d.Count(envelope.MaxRecipients, 4))
	for i := range lists {
		lists[i] = decodeHosts(d)
	}
	m.Leaves = make([]Leaf, d.Count(envelope.MaxRecipients, 16))
	for i := range m.Leaves {
		m.Leaves[i].decodeFrom(d)
		if n := d.U32(); n > uint32(len(lists)) {
			d.Fail("hosts %d of %d", n, len(lists))
		} else if n > 0 {
			m.Leaves[i].Hosts = lists[n-1]
		}
	}
	m.Trace = make([]Step, d.Count(100_000, 24))
	for i := range m.Trace {
		s := &m.Trace[i]
		s.Depth = int(d.U32())
		for _, text := range []*string{&s.Kind, &s.Name, &s.Driver, &s.Did, &s.Why} {
			*text = d.String(maxTrace)
		}
	}
	m.TooMany = d.U32()
}

// distinctHosts gives the lists of hosts of some leaves, each once, and for
// each leaf the place of its list, counted from 1; 0 is no hosts.
func distinctHosts(leaves []Leaf) (lists [][]Host, at []uint32) {
	at = make([]uint32, len(leaves))
	var known map[*Host]uint32
	for i := range leaves {
		hosts := leaves[i].Hosts
		if len(hosts) == 0 {
			continue
		}
		if n := known[&hosts[0]]; n > 0 && len(lists[n-1]) == len(hosts) {
			at[i] = n
			continue
		}
		lists = append(lists, hosts)
		at[i] = uint32(len(lists))
		if len(leaves) == 1 {
			break
		}
		if known == nil {
			known = make(map[*Host]uint32)
		}
		known[&hosts[0]] = at[i]
	}
	return lists, at
}

func (l *Leaf) encodeTo(e *wire.Encoder) {
	e.U32(uint32(l.Parent))
	l.Recipient.EncodeTo(e)
	e.Bool(l.Expanded)
	e.Bool(l.Verdict.Class != 0)
	if l.Verdict.Class != 0 {
		l.Verdict.EncodeTo(e)
	}
	e.String(l.By)
	e.String(l.Transport)
	e.String(l.NextHop)
	encodeUser(e, l.User)
	e.String(l.Detail)
	l.Edit.EncodeTo(e)
	l.Credentials.encodeTo(e)
	e.Bool(l.Once)
}

func (l *Leaf) decodeFrom(d *wire.Decoder) {
	l.Parent = int(d.U32())
	l.Recipient.DecodeFrom(d)
	l.Expanded = d.Bool()
	if d.Bool() {
		l.Verdict.DecodeFrom(d)
	}
	l.By = d.String(maxName)
	l.Transport = d.String(maxName)
	l.NextHop = d.String(maxName)
	l.User = decodeUser(d)
	l.Detail = d.String(maxName)
	l.Edit = envelope.DecodeEdit(d)
	l.Credentials = decodeCredentials(d)
	l.Once = d.Bool()
}

func (c *Credentials) encodeTo(e *wire.Encoder) {
	e.Bool(c != nil)
	if c != nil {
		e.String(c.Username)
		e.String(c.Password)
	}
}

func decodeCredentials(d *wire.Decoder) *Credentials {
	if !d.Bool() {
		return nil
	}
	return &Credentials{Username: d.String(maxWords), Password: d.String(maxWords)}
}

func encodeHosts(e *wire.Encoder, hosts []Host) {
	e.Count(len(hosts))
	for _, h := range hosts {
		e.String(h.Name)
		addr, _ := h.Addr.MarshalBinary()
		e.Bytes(addr)
		e.U16(h.Pref)
		e.Bool(h.Local)
		e.U8(uint8(h.MX))
	}
}

func decodeHosts(d *wire.Decoder) []Host {
	n := d.Count(1000, 8)
	if n == 0 {
		return nil
	}
	hosts := make([]Host, n)
	for i := range hosts {
		hosts[i].Name = d.String(maxName)
		if err := hosts[i].Addr.UnmarshalBinary(d.Bytes(64)); err != nil {
			d.Fail("host address: %v", err)
		}
		hosts[i].Pref = d.U16()
		hosts[i].Local = d.Bool()
		if hosts[i].MX = MX(d.U8()); hosts[i].MX > MXImplied {
			d.Fail("mx %d", hosts[i].MX)
		}
	}
	return hosts
}

func encodeUser(e *wire.Encoder, u *User) {
	e.Bool(u != nil)
	if u != nil {
		e.String(u.Name)
		e.String(u.Group)
		e.U32(u.UID)
		e.U32(u.GID)
		e.String(u.Home)
	}
}

func decodeUser(d *wire.Decoder) *User {
	if !d.Bool() {
		return nil
	}
	return &User{Name: d.String(maxName), Group: d.String(maxName), UID: d.U32(), GID: d.U32(), Home: d.String(4096)}
}
