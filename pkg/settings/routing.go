package settings

// Conditions say for which mail a director or router is there. All that are set
// must hold; they are tried in the order in which they stand here. Patterns are
// those of pkg/pattern; "lookup:NAME" is whoever the lookup has.
type Conditions struct {
	// Domains limits the entry to some domains (patterns).
	Domains []string `toml:"domains" json:"domains,omitempty"`
	// LocalParts limits it to some local parts (patterns).
	LocalParts []string `toml:"local_parts" json:"local_parts,omitempty"`
	// Senders limits it to mail of some envelope senders (patterns of addresses;
	// "<>" is the null sender).
	Senders []string `toml:"senders" json:"senders,omitempty"`
	// Clients limits it to mail that came from some networks (patterns).
	Clients []string `toml:"clients" json:"clients,omitempty"`
	// Listeners limits it to mail that came in by listeners of these names.
	Listeners []string `toml:"listeners" json:"listeners,omitempty"`
	// Source limits it to mail by the door that it came in by: "smtp", "local"
	// (the sendmail command) and "bounce" (the suite's own reports).
	Source []string `toml:"source" json:"source,omitempty"`
	// LargerThan limits it to messages above a size.
	LargerThan Size `toml:"larger_than" json:"larger_than,omitempty"`
	// SmallerThan limits it to messages below a size.
	SmallerThan Size `toml:"smaller_than" json:"smaller_than,omitempty"`
	// IfUserExists limits it to local parts that have an account on this system
	// (true) or have none (false).
	IfUserExists *bool `toml:"if_user_exists" json:"if_user_exists,omitempty"`
	// IfLookup limits it to addresses that a lookup has: "NAME" is asked for the
	// whole address, "NAME:KEY" for what KEY gives, with {local_part}, {domain},
	// {address}, {sender} and {client} filled in. "!" in front wants it not to be
	// there.
	IfLookup string `toml:"if_lookup" json:"if_lookup,omitempty"`
}

// Course is what directors and routers have in common beside their conditions:
// what follows when they take, decline or cannot tell.
type Course struct {
	// Verify says whether the entry is asked when an address is verified: a
	// router that takes everything proves nothing. Default: true.
	Verify *bool `toml:"verify" json:"verify,omitempty"`
	// VerifyOnly limits the entry to verification; it never delivers.
	VerifyOnly bool `toml:"verify_only" json:"verify_only,omitempty"`
	// More says whether the entries behind this one are asked when its conditions
	// hold and it declines. Without more the address fails. Default: true.
	More *bool `toml:"more" json:"more,omitempty"`
	// Pass names the entry that is asked next when this one declines, instead of
	// the one behind it. It stands further down.
	Pass string `toml:"pass" json:"pass,omitempty"`
	// OnDefer is what becomes of an address about which the entry can't tell at the
	// moment (a lookup or DNS that does not answer): "defer", "decline" (ask the
	// next; when nobody takes the address, it waits) or "fail". Default: "defer".
	OnDefer string `toml:"on_defer" json:"on_defer,omitempty"`
	// Retry says whether a delivery that failed for the moment is tried again
	// later. Without it mail that can't be delivered at once is returned. Default: true.
	Retry *bool `toml:"retry" json:"retry,omitempty"`
	// ErrorsTo is where reports go for what the entry takes or redirects, instead
	// of to the sender. It becomes the envelope sender of the mail.
	ErrorsTo string `toml:"errors_to" json:"errors_to,omitempty"`
	// HeadersAdd are fields added at the end of the header of what the entry takes
	// or redirects, "Name: text"; {local_part} {domain} {recipient} {sender} are
	// filled in.
	HeadersAdd []string `toml:"headers_add" json:"headers_add,omitempty"`
	// HeadersRemove names fields that are taken out.
	HeadersRemove []string `toml:"headers_remove" json:"headers_remove,omitempty"`
}

// Director handles local addresses, in order.
type Director struct {
	// Name appears in logs and explanations.
	Name string `toml:"name" json:"name"`
	// Driver is how the director finds out what an address stands for: "aliasfile"
	// (an alias file or lookup: names, commands, files, :include:), "forwardfile"
	// (a file in the user's home, read as the user), "user" (accounts of the
	// system, a table or a lookup), "virtual" (whole domains: address, then
	// @domain, to addresses), "list" (a mailing list, with its owner), "relocated"
	// (people who have gone: refused, with the new address), "command" (a program
	// answers), "accept" (everyone whom the conditions let through), "smartuser"
	// (everyone who is left goes to one address) or "route" (the mailbox is on
	// another machine: the routers are asked, as for a remote domain).
	Driver string `toml:"driver" json:"driver"`
	Conditions
	Course

	// File is the alias file (aliasfile), the table (user, virtual, relocated) or
	// the list of members (list); a relative path lies in the instance's etc. For
	// forwardfile it is relative to the home directory; default: ".forward".
	File string `toml:"file" json:"file,omitempty"`
	// Lookup names a [lookup.NAME] to ask instead of File. It is asked for
	// name@domain, then for the name, each whole and then without what follows the
	// separator; virtual and user ask last for @domain. For list it gives the
	// members by the name of the list; for forwardfile, as for user, the account
	// whose file it is, instead of the accounts of the system; where daemons change
	// users the file lies in the account's own home, whatever home is named.
	Lookup string `toml:"lookup" json:"lookup,omitempty"`
	// Optional makes an absent File decline instead of defer.
	Optional bool `toml:"optional" json:"optional,omitempty"`
	// Users is "system" (the password file), "table" (File) or "lookup" (Lookup)
	// for user. Default: what is named, else "system".
	Users string `toml:"users" json:"users,omitempty"`
	// Transport names the transport for what this director takes. For aliasfile
	// and virtual: every name there is delivered by it, whatever the entries say
	// (one script for a class of users).
	Transport string `toml:"transport" json:"transport,omitempty"`
	// PipeTransport and FileTransport serve "|command" and "/file" of an alias or
	// a forward file.
	PipeTransport string `toml:"pipe_transport" json:"pipe_transport,omitempty"`
	// FileTransport: see PipeTransport.
	FileTransport string `toml:"file_transport" json:"file_transport,omitempty"`
	// AllowPipes lets an alias or forward file run commands.
	AllowPipes bool `toml:"allow_pipes" json:"allow_pipes,omitempty"`
	// AllowFiles lets an alias or forward file name files.
	AllowFiles bool `toml:"allow_files" json:"allow_files,omitempty"`
	// AllowIncludes lets a forward file include others. Alias files always may.
	AllowIncludes bool `toml:"allow_includes" json:"allow_includes,omitempty"`
	// User runs pipes and writes files of this director and delivers what it
	// takes; "" = the user that it found, or nobody. A forwardfile director is
	// always the user whose file it is.
	User string `toml:"user" json:"user,omitempty"`
	// Group is the group of User; "" = that of the account.
	Group string `toml:"group" json:"group,omitempty"`
	// Address is the new address of smartuser; {local_part}, {domain} and
	// {detail} stand for the recipient's own.
	Address string `toml:"address" json:"address,omitempty"`
	// Separator splits "user+detail": the whole local part is looked for first,
	// then what stands before the separator. "" turns it off.
	Separator string `toml:"separator" json:"separator,omitempty"`
	// List names the address of a mailing list (list), when the director is for
	// one alone; its members are in File. Without it each local part that the
	// Lookup has is a list.
	List string `toml:"list" json:"list,omitempty"`
	// VERP gives each member of a list an envelope sender of his own,
	// owner-list+member=domain@here, so that a report tells whose address failed.
	VERP bool `toml:"verp" json:"verp,omitempty"`
	// Command is the program that a command director asks, with its arguments, in
	// which {local_part} {domain} {detail} {sender} {recipient} may stand. Its
	// first line of output is "accept", "decline", "fail TEXT", "defer TEXT" or
	// "redirect ADDRESS, ADDRESS".
	Command []string `toml:"command" json:"command,omitempty"`
	// Timeout bounds the command. Default: 10 seconds.
	Timeout Duration `toml:"timeout" json:"timeout,omitempty"`
}

// Router handles remote addresses, in order.
type Router struct {
	// Name appears in logs and explanations.
	Name string `toml:"name" json:"name"`
	// Driver is how the router finds the hosts: "mx" (DNS: MX records, else the
	// domain's own addresses), "table" (a table or lookup of hosts by domain),
	// "smarthost" (always the same hosts), "literal" (user@[192.0.2.1]), "command"
	// (a program answers), "accept" (none: a local transport, or lmtp with a
	// socket or host of its own), "fail" (mail is returned, with Message) or
	// "defer" (mail waits, with Message).
	Driver string `toml:"driver" json:"driver"`
	Conditions
	Course

	// File maps domains to hosts (table): "domain host[:port] [host...]" a line.
	File string `toml:"file" json:"file,omitempty"`
	// Lookup names a [lookup.NAME] that has the hosts, separated by blanks: for
	// table by the domain, then by "*." and each domain that it is in, then by "*";
	// for smarthost by the sender, then by @ and the sender's domain, and Hosts are
	// for those whom it does not have.
	Lookup string `toml:"lookup" json:"lookup,omitempty"`
	// Hosts are tried in order (smarthost): "host", "host:port", "[host]" (no
	// MX lookup), "[192.0.2.1]:25". With choose = "weight" a host may be followed
	// by its weight: "[a.example]*3".
	Hosts []string `toml:"hosts" json:"hosts,omitempty"`
	// Choose is which of the hosts of a smarthost comes first: "order" (as they
	// stand), "turn" (each in turn), "weight" (at random, by their weights) or
	// "sender" (always the same one for a sender). The others follow, for the case
	// that it fails. Default: "order".
	Choose string `toml:"choose" json:"choose,omitempty"`
	// Credentials names a [lookup.NAME] that has "username password" for the hosts
	// of a smarthost: by the sender, then by @ and the sender's domain, then by the
	// first of the hosts. They are given only over a verified TLS
	// connection, or to this machine.
	Credentials string `toml:"credentials" json:"credentials,omitempty"`
	// Map is a table written in place: domain = "host[:port] ...".
	Map map[string]string `toml:"map" json:"map,omitempty"`
	// Port is the port where none is named. Default 25.
	Port int `toml:"port" json:"port,omitempty"`
	// Transport names the transport: smtp or lmtp for the drivers that find hosts,
	// any other for accept.
	Transport string `toml:"transport" json:"transport,omitempty"`
	// User delivers what goes to a local transport (accept), or runs the program
	// (command); "" = the transport's user, or nobody.
	User string `toml:"user" json:"user,omitempty"`
	// Group is the group of User; "" = that of the account.
	Group string `toml:"group" json:"group,omitempty"`
	// MXOnly forbids the fallback to A and AAAA for these domains (patterns).
	MXOnly []string `toml:"mx_only" json:"mx_only,omitempty"`
	// MXOnlyExcept are exceptions to MXOnly.
	MXOnlyExcept []string `toml:"mx_only_except" json:"mx_only_except,omitempty"`
	// Self is what becomes of mail for a domain whose best mail server is this
	// machine, though the domain is not local: "fail" (a loop), "defer", or
	// "decline" (ask the next router). Default: "fail".
	Self string `toml:"self" json:"self,omitempty"`
	// Message is what fail and defer say, for people.
	Message string `toml:"message" json:"message,omitempty"`
	// Command is the program that a command router asks, as for a director; it
	// answers "accept HOST HOST ...", "decline", "fail TEXT" or "defer TEXT".
	Command []string `toml:"command" json:"command,omitempty"`
	// Timeout bounds the command. Default: 10 seconds.
	Timeout Duration `toml:"timeout" json:"timeout,omitempty"`
}

// Lookup is a table of keys and values that patterns, directors, routers and
// rewriting rules can ask. router alone opens it, and alone has its credentials.
type Lookup struct {
	// Type is where the table is: "inline" (Entries, in the configuration), "file"
	// (a text file, "key value" a line), "regexp" (a text file, "/expression/
	// value" a line; {1} to {9} are captures), "cidr" (a text file, "192.0.2.0/24
	// value" a line; the longest prefix wins), "passwd" (the accounts of this
	// system), "cdb" (a constant database (as cdbmake, postmap and tinycdb
	// write)), "sqlite" (a database file), "pgsql" (PostgreSQL), "mysql" (MySQL or
	// MariaDB), "ldap" (an LDAP directory), "redis" (Redis or Valkey) or
	// "socketmap" (a program that answers sendmail's socketmap protocol).
	Type string `toml:"type" json:"type"`
	// Entries is the table of an inline lookup.
	Entries map[string]string `toml:"entries" json:"entries,omitempty"`
	// Path is the file of file, regexp, cidr, cdb and sqlite; a relative path lies
	// in the instance's etc. Text files are read again when they change.
	Path string `toml:"path" json:"path,omitempty"`
	// Servers are tried in order: "host", "host:port", or the path of a Unix
	// socket. ldap takes URLs as well: "ldap://host", "ldaps://host", "ldapi:///path".
	Servers []string `toml:"servers" json:"servers,omitempty"`
	// Database is the name of the database (pgsql, mysql), its number (redis), or
	// the name of the map (socketmap).
	Database string `toml:"database" json:"database,omitempty"`
	// Username logs in to the server; for ldap it is the DN to bind as.
	Username string `toml:"username" json:"username,omitempty"`
	// PasswordFile has the password in its first line; master reads it, so it may
	// be root's alone.
	PasswordFile string `toml:"password_file" json:"password_file,omitempty"`
	// Password is what PasswordFile had: filled in by the loader, never from the
	// configuration, and given to router alone.
	Password string `toml:"-" json:"password,omitempty"`
	// Query asks for the values of a key: SQL for sqlite, pgsql and mysql, a filter
	// for ldap ("(mail={key})"), a key for redis ("alias:{key}"). {key}, {local_part}
	// and {domain} are bound as parameters or escaped: they are never part of the
	// language.
	Query string `toml:"query" json:"query,omitempty"`
	// Base is where an LDAP search begins.
	Base string `toml:"base" json:"base,omitempty"`
	// Scope is "sub", "one" or "base" (ldap). Default: "sub".
	Scope string `toml:"scope" json:"scope,omitempty"`
	// Referrals is what becomes of a search that an LDAP server answers with the names
	// of others that have a part of the directory: "fail" (tried again later, as nobody
	// knows whether the key is there) or "ignore" (what this server has is all that is
	// wanted; Active Directory, searched from the top of a domain, always names others).
	// Default: "fail".
	Referrals string `toml:"referrals" json:"referrals,omitempty"`
	// Attributes are those whose values an LDAP entry gives. Of an account (passwd)
	// there are "user" (name:home, as in a table of users), "name", "home", "uid",
	// "gid", "shell", "full_name" ("A. N. User") and "dotted_name" (the same as a
	// local part, "A.N.User"). Default for accounts: "user".
	Attributes []string `toml:"attributes" json:"attributes,omitempty"`
	// TLS is "off", "on" (from the first byte) or "starttls" (ldap, mysql and pgsql
	// in their own ways); certificates are verified. Default: "off".
	TLS string `toml:"tls" json:"tls,omitempty"`
	// CAFile has the certificates to trust, instead of the system's.
	CAFile string `toml:"ca_file" json:"ca_file,omitempty"`
	// Timeout bounds one question to a server, connecting included. Default: 5 seconds.
	Timeout Duration `toml:"timeout" json:"timeout,omitempty"`
	// Connections bounds the connections to a server. Default: 4.
	Connections int `toml:"connections" json:"connections,omitempty"`
	// CacheFor is how long an answer of a server is used again. "0s" asks each time. Default: 10 seconds.
	CacheFor *Duration `toml:"cache_for" json:"cache_for,omitempty"`
	// Domains limits the lookup to keys in some domains (patterns), so that a
	// server is not asked for all the world.
	Domains []string `toml:"domains" json:"domains,omitempty"`
}

// Or is *p, or what stands for it when it is not set.
func Or[T any](p *T, unset T) T {
	if p == nil {
		return unset
	}
	return *p
}

// Copy sends a copy of mail to further recipients, without a trace in the
// message: an archive, a supervisor by law. They are added when a message is
// taken; what becomes of their copies, the sender is not told.
type Copy struct {
	// Name appears in messages about mistakes.
	Name string `toml:"name" json:"name"`
	// Of is which addresses of a message are looked at: "sender" or "recipients".
	// Default: "recipients".
	Of string `toml:"of" json:"of,omitempty"`
	// Match are the addresses whose mail is copied (patterns), as rewriting has
	// left them.
	Match []string `toml:"match" json:"match,omitempty"`
	// To are the addresses that get the copy.
	To []string `toml:"to" json:"to,omitempty"`
	// Lookup names a [lookup.NAME] that has the addresses instead, by the address
	// that matched, then by @ and its domain.
	Lookup string `toml:"lookup" json:"lookup,omitempty"`
	// Listeners limits the rule to mail that came in by listeners of these names.
	// The suite's own reports are never copied.
	Listeners []string `toml:"listeners" json:"listeners,omitempty"`
}
