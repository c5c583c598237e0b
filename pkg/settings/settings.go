// Package settings is the configuration in force as every process sees it:
// plain structs with their defaults. pkg/config reads the administrator's TOML
// into them and checks it; master hands the result to each daemon as JSON, so
// that no daemon links or runs a configuration parser.
//
// Each field's comment is its documentation: the manual page, the sample file
// and `mtactl config help` are generated from it. A field's first sentence says
// what it is, its default is what Default puts there.
package settings

import "strings"

// Settings is one whole configuration.
type Settings struct {
	// Hostname is this machine's mail name: it greets, signs Received fields
	// and Message-IDs. Default: the machine's own fully qualified name.
	Hostname string `toml:"hostname" json:"hostname"`
	// Postmaster receives what nobody else can be told: failing reports, mail
	// for the bare address <postmaster>.
	Postmaster string `toml:"postmaster" json:"postmaster"`
	// PrivilegeSeparation is "auto" (on for the installed instance started as
	// root, off for a private one), "on" (root required) or "off".
	PrivilegeSeparation string `toml:"privilege_separation" json:"privilege_separation"`

	Domains    Domains              `toml:"domains" json:"domains"`
	Verify     Verify               `toml:"verify" json:"verify"`
	Listen     []Listen             `toml:"listen" json:"listen"`
	ETRN       []ETRN               `toml:"etrn" json:"etrn,omitempty"`
	Directors  []Director           `toml:"director" json:"director"`
	Routers    []Router             `toml:"router" json:"router"`
	Transports map[string]Transport `toml:"transport" json:"transport"`
	Providers  map[string]Provider  `toml:"provider" json:"provider,omitempty"`
	Rewrites   []Rewrite            `toml:"rewrite" json:"rewrite"`
	Copies     []Copy               `toml:"copy" json:"copy,omitempty"`
	Lookups    map[string]Lookup    `toml:"lookup" json:"lookup,omitempty"`
	Retry      []Retry              `toml:"retry" json:"retry"`
	Reports    Reports              `toml:"reports" json:"reports"`
	Limits     Limits               `toml:"limits" json:"limits"`
	Load       Load                 `toml:"load" json:"load"`
	DNS        DNS                  `toml:"dns" json:"dns"`
	Spool      Spool                `toml:"spool" json:"spool"`
	Memory     Memory               `toml:"memory" json:"memory"`
	Log        Log                  `toml:"log" json:"log"`
	Users      Users                `toml:"users" json:"users"`
	Testing    Testing              `toml:"testing" json:"testing,omitzero"`

	// Instance is where everything lies; filled in by the loader, never read
	// from the file.
	Instance Instance `toml:"-" json:"instance"`
}

// Instance names the directories of one instance (absolute paths).
type Instance struct {
	Private bool   `json:"private"` // made with mtactl -C DIR
	Dir     string `json:"dir"`     // DIR of a private instance, else ""
	Etc     string `json:"etc"`
	Spool   string `json:"spool"`
	DB      string `json:"db"`
	Run     string `json:"run"`
	Log     string `json:"log"`
	Mail    string `json:"mail"`
	Libexec string `json:"libexec"` // where the daemons' binaries are
	// Separate is true when processes switch to the users of Users.
	Separate bool `json:"separate"`
}

// Users names the system users and groups of a separated instance.
type Users struct {
	// Main runs cleanup, dispatch, bounce and qmgr and owns the spool.
	Main string `toml:"main" json:"main"`
	// In runs smtpd.
	In string `toml:"in" json:"in"`
	// Out runs smtp-client.
	Out string `toml:"out" json:"out"`
	// Route runs router.
	Route string `toml:"route" json:"route"`
	// Memory runs mtadb.
	Memory string `toml:"memory" json:"memory"`
	// DropGroup is the group of pickup: who has it may hand in local mail.
	DropGroup string `toml:"drop_group" json:"drop_group"`
	// AdminGroup may use the control sockets beside root.
	AdminGroup string `toml:"admin_group" json:"admin_group"`
}

// Domains says for whom mail is taken. Patterns: exact names, "*.domain",
// "/regular expression/"; for Trusted addresses and CIDR.
type Domains struct {
	// Local domains are handled by directors. Default: the hostname and
	// localhost. The hostname is always one of them, unless "!hostname" says no.
	Local []string `toml:"local" json:"local"`
	// Relay domains are accepted from anyone and routed on (backup MX).
	Relay []string `toml:"relay" json:"relay"`
	// Trusted networks may relay to anywhere. Default: this machine.
	Trusted []string `toml:"trusted" json:"trusted"`
	// Syntax lists other ways of writing addresses that are understood beside the
	// Internet's: "percent" (user%host@here, for a domain of ours) and "bang"
	// (host!user). What is meant is decided as for any address, so neither lets
	// a stranger relay. Default: none.
	Syntax []string `toml:"syntax" json:"syntax,omitempty"`
}

// Verify says which addresses are looked up while the client waits, so that
// mail for nobody is refused at RCPT instead of being returned later to a sender
// who may be forged.
type Verify struct {
	// LocalRecipients is "route" (ask the directors whether there is such a
	// user), "callout" (ask, too, the server behind an smtp or lmtp transport) or
	// "off".
	LocalRecipients string `toml:"local_recipients" json:"local_recipients"`
	// RemoteRecipients is "route" (ask the routers whether the domain exists),
	// "callout" (ask the domain's mail server whether it would take mail for the
	// recipient) or "off".
	RemoteRecipients string `toml:"remote_recipients" json:"remote_recipients"`
	// Senders is "route" (a report could be sent to the sender: his domain exists,
	// or he is a user here), "callout" (the domain's mail server takes mail for
	// him, from the null sender) or "off". Default: "off".
	Senders string `toml:"senders" json:"senders"`
	// OwnDomains is what becomes of mail from outside, by clients that may not
	// relay, whose envelope sender is in a local domain: "verify" (the sender must
	// exist; a list or a forwarder returns such mail), "refuse" (one's own users
	// must submit it where they may relay) or "accept". Default: "accept".
	OwnDomains string `toml:"own_domains" json:"own_domains"`
	// TrustedClients includes the clients that may relay. Without it one's own
	// users get a report in plain words instead of an error from their mail
	// program.
	TrustedClients bool `toml:"trusted_clients" json:"trusted_clients"`
	// WhenUnsure is "accept" (take it on trust; the queue tries again) or "defer"
	// (450 to the client) for an address about which nothing can be found out at
	// the moment.
	WhenUnsure string `toml:"when_unsure" json:"when_unsure"`
	// CalloutTimeout bounds one call-out; the client waits as long.
	CalloutTimeout Duration `toml:"callout_timeout" json:"callout_timeout"`
	// CalloutKeepYes and CalloutKeepNo are how long an answer is remembered.
	CalloutKeepYes Duration `toml:"callout_keep_yes" json:"callout_keep_yes"`
	// CalloutKeepNo: see CalloutKeepYes.
	CalloutKeepNo Duration `toml:"callout_keep_no" json:"callout_keep_no"`
	// CalloutsPerDomain bounds the call-outs for one domain at a time; beyond them
	// an address counts as not to be found out.
	CalloutsPerDomain int `toml:"callouts_per_domain" json:"callouts_per_domain"`
}

// Listen is one listening socket of smtpd.
type Listen struct {
	// Name appears in logs and conditions.
	Name string `toml:"name" json:"name"`
	// Address is host:port, ":port" for all addresses; port 0 picks a free one.
	Address string `toml:"address" json:"address"`
	// MaxConnections bounds the sessions of this listener.
	MaxConnections int `toml:"max_connections" json:"max_connections"`
	// MaxPerClient bounds the sessions of one client address (a /64 in IPv6).
	MaxPerClient int `toml:"max_per_client" json:"max_per_client"`
	// BareNewline is "refuse" (550 5.6.0) or "normalize" (made CRLF) for a CR
	// or LF that stands alone in a message. Neither ever ends a message.
	BareNewline string `toml:"bare_newline" json:"bare_newline"`
	// Qualify is the domain added to bare addresses; "" refuses them (save
	// <postmaster>).
	Qualify string `toml:"qualify" json:"qualify"`
	// Trusted lists networks that may relay through this listener, instead of
	// domains.trusted. Unset: domains.trusted.
	Trusted []string `toml:"trusted" json:"trusted"`
	// Submission marks a listener for one's own users: missing header fields
	// are completed as for local submission.
	Submission bool `toml:"submission" json:"submission"`
	// MinRate is the least rate in bytes per second that a client must keep up
	// while it sends a message; the slowest are shed first when the listener is full.
	MinRate Size `toml:"min_rate" json:"min_rate"`
	// Banner is added to the greeting behind the hostname.
	Banner string `toml:"banner" json:"banner"`
	// FutureRelease is how long a client of this listener may have a message held before
	// it is sent (FUTURERELEASE, RFC 4865); it needs submission = true. 0 does not offer it.
	FutureRelease Duration `toml:"future_release" json:"future_release"`
	// DeliverByLeast is the shortest time after which a client may ask for a message back
	// that is not delivered (DELIVERBY with mode R, RFC 2852). 0 = any.
	DeliverByLeast Duration `toml:"deliver_by_least" json:"deliver_by_least"`
	// PriorityProfile is the name of the policy of priorities that is told to clients
	// (MT-PRIORITY, RFC 6710), like "MIXER"; "" = none. Priorities above 0 are for
	// clients that may relay; others get 0 instead, and are told so.
	PriorityProfile string `toml:"priority_profile" json:"priority_profile"`
}

// Transport says how to deliver.
type Transport struct {
	// Driver is smtp, lmtp, maildir, mbox, pipe or discard.
	Driver string `toml:"driver" json:"driver"`

	// ConnectionsPerHost bounds simultaneous connections to one destination (smtp, lmtp).
	ConnectionsPerHost int `toml:"connections_per_host" json:"connections_per_host"`
	Shape
	// MaxRecipients bounds the recipients of one transaction.
	MaxRecipients int `toml:"max_recipients" json:"max_recipients"`
	// Concurrency bounds the transport's simultaneous deliveries; 0 = limits.deliveries.
	Concurrency int `toml:"concurrency" json:"concurrency"`
	// SourceAddresses are used for outgoing connections. Of several of one family each
	// sender's mail to a destination has its own; each has a pace of its own there, and
	// where the rate of one is used up, the next has a turn.
	SourceAddresses []string `toml:"source_addresses" json:"source_addresses"`
	// HELO is the name given to servers; "" = hostname.
	HELO string `toml:"helo" json:"helo"`
	// TLS is "opportunistic" or "off".
	TLS string `toml:"tls" json:"tls"`
	// Socket is the Unix socket of an LMTP server; "" = the route's hosts.
	Socket string `toml:"socket" json:"socket"`
	// Host is where an lmtp transport connects when no router names hosts.
	Host string `toml:"host" json:"host"`
	// ConnectTimeout bounds each connection attempt.
	ConnectTimeout Duration `toml:"connect_timeout" json:"connect_timeout"`
	// ConnectionMaxUses, ConnectionMaxAge and ConnectionIdle bound the reuse
	// of a connection.
	ConnectionMaxUses int `toml:"connection_max_uses" json:"connection_max_uses"`
	// ConnectionMaxAge: see ConnectionMaxUses.
	ConnectionMaxAge Duration `toml:"connection_max_age" json:"connection_max_age"`
	// ConnectionIdle: see ConnectionMaxUses.
	ConnectionIdle Duration `toml:"connection_idle" json:"connection_idle"`
	// TimeoutScale multiplies the reply time-outs of RFC 5321, section
	// 4.5.3.2, in percent; 100 is the standard. Tests use less.
	TimeoutScale int `toml:"timeout_scale" json:"timeout_scale"`

	// Path is the mailbox (maildir, mbox): {home} {user} {local_part} {domain}
	// {detail} {mail} are filled in; each value must be one path component.
	Path string `toml:"path" json:"path"`
	// Command is the argument list of a pipe; placeholders {local_part} {domain}
	// {sender} {recipient} {user} {home} {detail} may each be (part of) one argument.
	Command []string `toml:"command" json:"command"`
	// User is who writes or runs; "" = the user the director found.
	User string `toml:"user" json:"user"`
	// Timeout bounds a pipe's command.
	Timeout Duration `toml:"timeout" json:"timeout"`
	// MaxOutput is how much of a command's output is kept for the report.
	MaxOutput Size `toml:"max_output" json:"max_output"`
	// WritableHome is "defer" (the default: a home directory that group or
	// others may write to gets no mail) or "allow" (maildir, mbox with {home}).
	WritableHome string `toml:"writable_home" json:"writable_home"`
	// Umask of files made, octal as a string. Default "077".
	Umask string `toml:"umask" json:"umask"`
	// Environment adds NAME=value to a pipe's environment.
	Environment []string `toml:"environment" json:"environment"`
	// Returns is what a pipe's command makes: "" (it delivers) or "report": the
	// mail is returned to its sender, and what the command printed stands in the
	// report as the words that this site has for him (whom he may have meant, where
	// the user has gone). A command that fails defers, so that nobody gets an
	// answer without them.
	Returns string `toml:"returns" json:"returns"`

	// Group is the group of User; "" = that of the account.
	Group string `toml:"group" json:"group"`
	// HeadersAdd are fields that are added at the end of the header, "Name: text";
	// {local_part} {domain} {recipient} {sender} are filled in.
	HeadersAdd []string `toml:"headers_add" json:"headers_add"`
	// HeadersRemove names fields that are taken out.
	HeadersRemove []string `toml:"headers_remove" json:"headers_remove"`
	// Rewrites names [[rewrite]] rules that are applied to what leaves by this
	// transport, in the order of the rules, and not to what comes in: real names of
	// users outside and account names inside, or one domain for all machines.
	Rewrites []string `toml:"rewrite" json:"rewrite"`

	// Username and PasswordFile are for a server that wants to know who sends
	// (AUTH, RFC 4954); the file has the password in its first line, master reads
	// it, so it may be root's alone. They are given only over a verified TLS
	// connection, or to this machine. Where a router names credentials, those are
	// used instead.
	Username string `toml:"username" json:"username,omitempty"`
	// PasswordFile: see Username.
	PasswordFile string `toml:"password_file" json:"password_file,omitempty"`
	// Password is what PasswordFile had: filled in by the loader, never from the
	// configuration, and given to smtp-client alone.
	Password string `toml:"-" json:"password,omitempty"`

	// MailboxLimit is the size that one mailbox may have (maildir with all its
	// folders, mbox); 0 = no limit. It holds where the system has no quotas, and is
	// kept by the suite alone: a user may still fill his disk in other ways.
	MailboxLimit Size `toml:"mailbox_limit" json:"mailbox_limit,omitempty"`
	// MailboxMessages is the number of messages that one mailbox may have (maildir);
	// 0 = no limit.
	MailboxMessages int `toml:"mailbox_messages" json:"mailbox_messages,omitempty"`
	// MailboxWarn is the share of a limit, in percent, from which the user finds a
	// warning in his mailbox and `mtactl mailboxes --over` lists it; 0 = never.
	// Default: 80.
	MailboxWarn *int `toml:"mailbox_warn" json:"mailbox_warn,omitempty"`
	// WarnEvery is the time within which a user is warned once at most. Default: 7 days.
	WarnEvery Duration `toml:"warn_every" json:"warn_every,omitempty"`
	// WhenFull is what becomes of mail for a mailbox that has no room left, by
	// mailbox_limit, mailbox_messages or a quota of the system: "defer" (try until
	// [retry] gives up), "bounce" (return it at once), "defer-if-read" (wait for
	// those who read their mail, and return it for those who have not for
	// read_within) or "deliver" (the limits warn, and keep nothing out). Default:
	// "defer".
	WhenFull string `toml:"when_full" json:"when_full,omitempty"`
	// ReadWithin is how long ago a mailbox may have been read for "defer-if-read" to
	// wait. Default: 180 days.
	ReadWithin Duration `toml:"read_within" json:"read_within,omitempty"`
}

// Rewrite changes addresses when a message comes in, in the envelope and in the
// header, in order, each rule on what the one before made. Without any, nothing
// is changed. `mtactl rewrite` shows what they do to an address or a message.
type Rewrite struct {
	// Name appears in the log, and in the transports that use the rule at the way
	// out.
	Name string `toml:"name" json:"name"`
	// Sources are the places where addresses are rewritten: "envelope-sender",
	// "envelope-recipients", header fields by name ("from", "reply-to",
	// "x-owner"), "headers" for all fields that hold addresses, "all" for these and the envelope.
	Sources []string `toml:"sources" json:"sources"`
	// Listeners limits the rule to mail that came in by listeners of these
	// names; "sendmail" is the command, "reports" the suite's own delivery reports.
	Listeners []string `toml:"listeners" json:"listeners"`
	// Clients limits the rule to mail of clients in these networks (patterns).
	Clients []string `toml:"clients" json:"clients"`
	// Match is the pattern of the addresses to rewrite: exact, a glob, or a
	// regular expression. What each * of a glob or group of an expression stood for
	// is {1}, {2} and so on. An address without a domain is matched by expressions
	// and "*" alone. "lookup:NAME" matches the addresses that a lookup has.
	Match string `toml:"match" json:"match"`
	// To is the new address, with {1} to {9}, {local_part} and {domain}, and
	// {lookup:NAME:KEY} where KEY is one of these, or "address": what the lookup
	// NAME has for it; if it has nothing, the address stays. "*@example.org" keeps
	// the local part, "name@*" the domain. Without it the address stays; then must
	// be "stop".
	To string `toml:"to" json:"to"`
	// Then is what follows where the rule matched: "continue" with the next
	// rule, "stop", or "again" from the first rule when the address has changed (at most 10 times).
	Then string `toml:"then" json:"then"`
}

// Reports governs delivery reports.
type Reports struct {
	// DelayWarnings are the ages at which the sender is told of a delay; none = never.
	DelayWarnings []Duration `toml:"delay_warnings" json:"delay_warnings"`
	// MaxReturned is the size above which only the header is returned.
	MaxReturned Size `toml:"max_returned" json:"max_returned"`
	// Contact is named in reports as whom to ask; "" = postmaster at the hostname.
	Contact string `toml:"contact" json:"contact"`
	// Language is what reports are written in: "auto" guesses from what the sender's
	// message says of languages and from the top-level domain of the sender, and adds
	// English in short; else "en", "de", "es", "fr", "ja", or a language that
	// Templates has.
	Language string `toml:"language" json:"language"`
	// LanguagesByDomain has the languages of senders in some domains (patterns); the
	// longest that matches decides.
	LanguagesByDomain map[string]string `toml:"languages_by_domain" json:"languages_by_domain,omitempty"`
	// Templates is a directory with the site's own texts, which stand over the
	// built-in ones: files LANGUAGE and LANGUAGE.CAUSE. `mtactl reports preview`
	// shows what becomes of them.
	Templates string `toml:"templates" json:"templates,omitempty"`
	// Texts is what the files in Templates have, by their names: filled in by the
	// loader, never from the configuration, and given to bounce alone, which can read
	// no files.
	Texts map[string]string `toml:"-" json:"texts,omitempty"`
	// DeliveredAfterWarning sends a short note when a message is delivered at last
	// of whose delay the sender was told.
	DeliveredAfterWarning bool `toml:"delivered_after_warning" json:"delivered_after_warning"`
}

// Limits bound what the suite takes and does.
type Limits struct {
	// MessageSize is the largest message taken.
	MessageSize Size `toml:"message_size" json:"message_size"`
	// Recipients is the most recipients of one SMTP transaction.
	Recipients int `toml:"recipients" json:"recipients"`
	// Deliveries bounds simultaneous deliveries of all transports together.
	Deliveries int `toml:"deliveries" json:"deliveries"`
	// PerDestination bounds simultaneous deliveries to one next hop.
	PerDestination int `toml:"per_destination" json:"per_destination"`
	// LocalChildren bounds local-deliver's children, PerUser those of one user.
	LocalChildren int `toml:"local_children" json:"local_children"`
	// PerUser: see LocalChildren.
	PerUser int `toml:"per_user" json:"per_user"`
	// HeaderSize bounds a message's header.
	HeaderSize Size `toml:"header_size" json:"header_size"`
	// HeaderFields bounds its number of fields.
	HeaderFields int `toml:"header_fields" json:"header_fields"`
	// Hops is the number of Received fields at which a message counts as looping.
	Hops int `toml:"hops" json:"hops"`
	// Errors is the number of bad commands after which smtpd says 421.
	Errors int `toml:"errors" json:"errors"`
	// Commands is the number of commands without progress (NOOP, RSET, VRFY ...)
	// after which smtpd says 421.
	Commands int `toml:"commands" json:"commands"`
	// CommandTimeout bounds the wait for a command (RFC 5321, section 4.5.3.2.7).
	CommandTimeout Duration `toml:"command_timeout" json:"command_timeout"`
	// DataTimeout bounds the wait for the next block of a message
	// (RFC 5321, section 4.5.3.2.5).
	DataTimeout Duration `toml:"data_timeout" json:"data_timeout"`
	// MessageTimeout bounds the whole of one message's transfer.
	MessageTimeout Duration `toml:"message_timeout" json:"message_timeout"`
	// Expansion is the most recipients that one address may expand to.
	Expansion int `toml:"expansion" json:"expansion"`
	// DrainTimeout is how long a stopping or replaced process may finish its work.
	DrainTimeout Duration `toml:"drain_timeout" json:"drain_timeout"`
}

// DNS is the resolver of router.
type DNS struct {
	// Servers are asked in order, "192.0.2.1" or "192.0.2.1:53"; none = those
	// of /etc/resolv.conf.
	Servers []string `toml:"servers" json:"servers"`
	// Timeout bounds one query to one server, Deadline a whole lookup.
	Timeout Duration `toml:"timeout" json:"timeout"`
	// Deadline: see Timeout.
	Deadline Duration `toml:"deadline" json:"deadline"`
	// CacheSize is the most answers kept.
	CacheSize int `toml:"cache_size" json:"cache_size"`
	// MaxTTL and NegativeTTL bound how long answers are kept.
	MaxTTL Duration `toml:"max_ttl" json:"max_ttl"`
	// NegativeTTL: see MaxTTL.
	NegativeTTL Duration `toml:"negative_ttl" json:"negative_ttl"`
}

// Spool sizes the journal.
type Spool struct {
	// SegmentSize is the size of one journal segment.
	SegmentSize Size `toml:"segment_size" json:"segment_size"`
	// MaxSegments bounds the journal; beyond it mail is refused for the time being.
	MaxSegments int `toml:"max_segments" json:"max_segments"`
	// Reserve is the free space below which mail is refused for the time being.
	Reserve Size `toml:"reserve" json:"reserve"`
}

// Memory bounds what mtadb keeps: the history of messages (mtactl history), and
// what was found out about hosts and addresses. Nothing of it is needed to
// deliver mail.
type Memory struct {
	// MaxSize is how much of the disk the history may fill; the oldest is dropped
	// first. What is known of hosts and addresses takes some 200 MB more at
	// the most.
	MaxSize Size `toml:"max_size" json:"max_size"`
	// HistoryAge is how long the history of a message is kept.
	HistoryAge Duration `toml:"history_age" json:"history_age"`
}

// Testing is for private instances in which things are tried out. An installed
// instance refuses it.
type Testing struct {
	// MoveClock lets mtactl clock move the clock of the suite ahead, to see in
	// seconds what rules for days do to real messages. It counts from the next
	// start.
	MoveClock bool `toml:"move_clock" json:"move_clock"`
	// ClockAhead is how far ahead the clock is at the start.
	ClockAhead Duration `toml:"clock_ahead" json:"clock_ahead"`
}

// Log governs the log.
type Log struct {
	// Format is "text" (narrow lines) or "json".
	Format string `toml:"format" json:"format"`
	// Debug names services that log details, or "all".
	Debug []string `toml:"debug" json:"debug"`
	// Rewrites writes a line for each address that a [[rewrite]] rule changed,
	// with the rule's name.
	Rewrites bool `toml:"rewrites" json:"rewrites"`
}

// IsLMTP and the like are asked by driver name.
func (t *Transport) IsLMTP() bool { return t.Driver == "lmtp" }

// Contact is the address named in reports.
func (s *Settings) Contact() string {
	if s.Reports.Contact != "" {
		return s.Reports.Contact
	}
	if strings.Contains(s.Postmaster, "@") {
		return s.Postmaster
	}
	return "postmaster@" + s.Hostname
}
