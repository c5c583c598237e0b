package settings

import "time"

// Default is the configuration of an empty file: a safe, working, local MTA
// that takes mail from this machine only. The loader fills in the hostname,
// and the directors, routers and transports below where the file names none.
func Default() *Settings {
	return &Settings{
		Postmaster:          "postmaster",
		PrivilegeSeparation: "auto",
		Domains: Domains{
			Trusted: []string{"127.0.0.0/8", "::1/128"},
		},
		Verify: Verify{
			LocalRecipients: "route", RemoteRecipients: "off", Senders: "off", OwnDomains: "accept", WhenUnsure: "accept",
			CalloutTimeout: Duration(30 * time.Second), CalloutKeepYes: Duration(24 * time.Hour), CalloutKeepNo: Duration(2 * time.Hour),
			CalloutsPerDomain: 2,
		},
		Reports: Reports{
			DelayWarnings: []Duration{Duration(4 * time.Hour)},
			MaxReturned:   50 << 10,
			Language:      "auto",
		},
		Limits: Limits{
			MessageSize:    50 << 20,
			Recipients:     1000,
			Deliveries:     500,
			PerDestination: 20,
			LocalChildren:  32,
			PerUser:        2,
			HeaderSize:     100 << 10,
			HeaderFields:   1000,
			Hops:           50,
			Errors:         20,
			Commands:       100,
			CommandTimeout: Duration(5 * time.Minute),
			DataTimeout:    Duration(3 * time.Minute),
			MessageTimeout: Duration(time.Hour),
			Expansion:      50_000,
			DrainTimeout:   Duration(30 * time.Second),
		},
		Load: Load{Measure: "load", Every: Duration(5 * time.Second), Proc: "/proc"},
		DNS: DNS{
			Timeout:     Duration(5 * time.Second),
			Deadline:    Duration(30 * time.Second),
			CacheSize:   10_000,
			MaxTTL:      Duration(time.Hour),
			NegativeTTL: Duration(5 * time.Minute),
		},
		Spool:  Spool{SegmentSize: 16 << 20, MaxSegments: 64, Reserve: 64 << 20},
		Memory: Memory{MaxSize: 2 << 30, HistoryAge: Duration(14 * 24 * time.Hour)},
		Log:    Log{Format: "text"},
		Users: Users{
			Main: "filbert", In: "filbert-in", Out: "filbert-out", Route: "filbert-route", Memory: "filbert-db",
			DropGroup: "filbert-drop", AdminGroup: "filbert-adm",
		},
	}
}

// DefaultDirectors are those of a file that names none: /etc/aliases of the
// instance, then the users of the system.
func DefaultDirectors() []Director {
	return []Director{
		{Name: "aliases", Driver: "aliasfile", File: "aliases", Optional: true},
		{Name: "users", Driver: "user", Users: "system", Transport: "maildir", Separator: "+"},
	}
}

// DefaultRouters are those of a file that names none.
func DefaultRouters() []Router {
	return []Router{
		{Name: "literal", Driver: "literal", Transport: "smtp"},
		{Name: "internet", Driver: "mx", Transport: "smtp"},
	}
}

// DefaultTransports exist unless the file defines one of the same name.
func DefaultTransports() map[string]Transport {
	return map[string]Transport{
		"smtp":    {Driver: "smtp"},
		"lmtp":    {Driver: "lmtp"},
		"maildir": {Driver: "maildir", Path: "{home}/Maildir"},
		"mbox":    {Driver: "mbox", Path: "/var/mail/{user}"},
		"pipe":    {Driver: "pipe"},
		"file":    {Driver: "mbox"},
		"discard": {Driver: "discard"},
	}
}

// ConsultTimeout bounds a program that directs or routes and names no time.
const ConsultTimeout = Duration(10 * time.Second)

// Complete fills a transport's unset values with its driver's defaults.
func (t Transport) Complete() Transport {
	setInt(&t.ConnectionsPerHost, 20)
	setInt(&t.StartConcurrency, 5)
	setDuration(&t.BackOffPause, 5*time.Minute)
	setInt(&t.MaxRecipients, 100)
	setInt(&t.ConnectionMaxUses, 1000)
	setInt(&t.TimeoutScale, 100)
	setDuration(&t.ConnectTimeout, 30*time.Second)
	setDuration(&t.ConnectionMaxAge, 5*time.Minute)
	setDuration(&t.ConnectionIdle, 5*time.Second)
	setDuration(&t.Timeout, 10*time.Minute)
	setDuration(&t.WarnEvery, 7*24*time.Hour)
	setDuration(&t.ReadWithin, 180*24*time.Hour)
	if t.TLS == "" {
		t.TLS = "opportunistic"
	}
	if t.MailboxWarn == nil {
		percent := 80
		t.MailboxWarn = &percent
	}
	if t.WhenFull == "" {
		t.WhenFull = "defer"
	}
	if t.WritableHome == "" {
		t.WritableHome = "defer"
	}
	if t.Umask == "" {
		t.Umask = "077"
	}
	if t.MaxOutput == 0 {
		t.MaxOutput = 4 << 10
	}
	return t
}

// Complete fills a listener's unset values.
func (l Listen) Complete() Listen {
	setInt(&l.MaxConnections, 2000)
	setInt(&l.MaxPerClient, 100)
	if l.BareNewline == "" {
		l.BareNewline = "refuse"
	}
	if l.MinRate == 0 {
		l.MinRate = 100
	}
	return l
}

func setInt(p *int, v int) {
	if *p == 0 {
		*p = v
	}
}

func setDuration(p *Duration, v time.Duration) {
	if *p == 0 {
		*p = Duration(v)
	}
}
