package config

import (
	"fmt"
	"strings"
)

// sampleHead introduces the sample file.
const sampleHead = `# filbert.toml: the configuration of Filbert.
#
# Every line below is a comment: an empty file is a working, safe, local mail
# server. A setting that is shown has the value that is used when it is absent.
# Take the # away from what you want to change.
#
# Times and sizes are text with a unit: "90s", "15m", "4 hours", "5 days";
# "64 KB", "50 MB", "2 GB". Patterns are names, "*.example.org", "/regular
# expressions/", for networks "192.0.2.0/24"; the first that matches decides,
# "!pattern" makes an exception and stands in front.
#
# Files in conf.d/*.toml are read after this one, as if they were its end.
#
# mtactl check            tests all of it
# mtactl config show      prints what is in force, and where it came from
# mtactl config help KEY  explains a setting
# mtactl explain ADDRESS  shows what becomes of an address
`

// examples are the values shown for settings that have no default.
var examples = map[string]string{
	"hostname":                        `"mail.example.org"`,
	"testing.clock_ahead":             `"0s"`,
	"domains.local":                   `["example.org", "*.example.org"]`,
	"domains.relay":                   `["partner.example"]`,
	"listen.name":                     `"mx"`,
	"listen.address":                  `":25"`,
	"listen.qualify":                  `"example.org"`,
	"listen.trusted":                  `["192.0.2.0/24"]`,
	"listen.submission":               `true`,
	"listen.banner":                   `"ESMTP"`,
	"etrn.clients":                    `["192.0.2.7"]`,
	"etrn.domains":                    `["branch.example.org", "*.branch.example.org"]`,
	"listen.future_release":           `"30 days"`,
	"listen.deliver_by_least":         `"1 minute"`,
	"listen.priority_profile":         `"MIXER"`,
	"director.name":                   `"aliases"`,
	"director.driver":                 `"aliasfile"`,
	"director.domains":                `["example.org"]`,
	"director.local_parts":            `["info", "sales-*"]`,
	"director.file":                   `"aliases"`,
	"director.optional":               `true`,
	"director.users":                  `"system"`,
	"director.senders":                `["*@partner.example"]`,
	"director.clients":                `["192.0.2.0/24"]`,
	"director.listeners":              `["mx"]`,
	"director.source":                 `["smtp", "local"]`,
	"director.larger_than":            `"10 MB"`,
	"director.smaller_than":           `"20 MB"`,
	"director.if_lookup":              `"cancelled"`,
	"director.pass":                   `"users"`,
	"director.on_defer":               `"defer"`,
	"director.headers_add":            `["X-Class: staff"]`,
	"director.headers_remove":         `["X-Spam"]`,
	"director.lookup":                 `"people"`,
	"director.group":                  `"mail"`,
	"director.list":                   `"staff@example.org"`,
	"director.command":                `["/usr/local/lib/filbert/ask", "{recipient}"]`,
	"director.timeout":                `"10s"`,
	"director.transport":              `"maildir"`,
	"director.pipe_transport":         `"pipe"`,
	"director.file_transport":         `"file"`,
	"director.allow_pipes":            `true`,
	"director.allow_files":            `true`,
	"director.user":                   `"nobody"`,
	"director.address":                `"{local_part}@other.example.org"`,
	"director.separator":              `"+"`,
	"director.errors_to":              `"postmaster@example.org"`,
	"router.name":                     `"internal"`,
	"router.driver":                   `"table"`,
	"router.domains":                  `["*.intern.example.org"]`,
	"router.file":                     `"routes"`,
	"router.hosts":                    `["[smtp.example.net]:587"]`,
	"router.map":                      `{ "a.intern.example.org" = "[192.0.2.1]:2525" }`,
	"router.port":                     `25`,
	"router.transport":                `"smtp"`,
	"router.mx_only":                  `["*"]`,
	"router.mx_only_except":           `["legacy.example.net"]`,
	"router.senders":                  `["*@partner.example"]`,
	"router.clients":                  `["192.0.2.0/24"]`,
	"router.listeners":                `["mx"]`,
	"router.more":                     `true`,
	"router.verify":                   `true`,
	"router.retry":                    `true`,
	"director.more":                   `true`,
	"director.verify":                 `true`,
	"director.retry":                  `true`,
	"router.source":                   `["smtp"]`,
	"router.larger_than":              `"10 MB"`,
	"router.smaller_than":             `"20 MB"`,
	"router.if_lookup":                `"partners:{domain}"`,
	"router.pass":                     `"internet"`,
	"router.on_defer":                 `"defer"`,
	"router.errors_to":                `"postmaster@example.org"`,
	"router.headers_add":              `["X-Route: internal"]`,
	"router.headers_remove":           `["X-Internal"]`,
	"router.lookup":                   `"hosts"`,
	"router.choose":                   `"order"`,
	"router.credentials":              `"logins"`,
	"router.user":                     `"nobody"`,
	"router.group":                    `"nogroup"`,
	"router.self":                     `"fail"`,
	"router.message":                  `"this domain gets no mail from here"`,
	"router.command":                  `["/usr/local/lib/filbert/ask", "{recipient}"]`,
	"router.timeout":                  `"10s"`,
	"lookup.NAME.type":                `"pgsql"`,
	"lookup.NAME.entries":             `{ "alice" = "alice@example.org" }`,
	"lookup.NAME.path":                `"people"`,
	"lookup.NAME.servers":             `["db.example.org"]`,
	"lookup.NAME.database":            `"people"`,
	"lookup.NAME.username":            `"mail"`,
	"lookup.NAME.password_file":       `"people.password"`,
	"lookup.NAME.query":               `"select mailbox from people where address = {key}"`,
	"lookup.NAME.base":                `"ou=people,dc=example,dc=org"`,
	"lookup.NAME.scope":               `"sub"`,
	"lookup.NAME.referrals":           `"fail"`,
	"lookup.NAME.attributes":          `["mail"]`,
	"lookup.NAME.tls":                 `"off"`,
	"lookup.NAME.ca_file":             `"/etc/ssl/certs/ca-certificates.crt"`,
	"lookup.NAME.timeout":             `"5s"`,
	"lookup.NAME.cache_for":           `"10s"`,
	"lookup.NAME.connections":         `4`,
	"lookup.NAME.domains":             `["example.org"]`,
	"domains.syntax":                  `["percent"]`,
	"transport.NAME.returns":          `"report"`,
	"transport.NAME.group":            `"mail"`,
	"transport.NAME.headers_add":      `["X-Delivered-For: {recipient}"]`,
	"transport.NAME.headers_remove":   `["X-Internal"]`,
	"transport.NAME.rewrite":          `["strip-host"]`,
	"transport.NAME.username":         `"mail@example.org"`,
	"transport.NAME.password_file":    `"smarthost.password"`,
	"transport.NAME.driver":           `"smtp"`,
	"transport.NAME.concurrency":      `50`,
	"transport.NAME.warm_up":          `{ from = "2026-12-01", days = 30, first = "50 per day" }`,
	"provider.NAME.warm_up":           `{ from = "2026-12-01", days = 30, first = "50 per day" }`,
	"load.begin":                      `2`,
	"load.full":                       `6`,
	"provider.NAME.mx":                `["*.mx.example.net"]`,
	"provider.NAME.deliveries":        `50`,
	"provider.NAME.start_concurrency": `5`,
	"provider.NAME.rate":              `"1000 per hour"`,
	"provider.NAME.back_off_replies":  `["421 4.7.*"]`,
	"provider.NAME.back_off_pause":    `"5m"`,
	"transport.NAME.source_addresses": `["192.0.2.1", "2001:db8::1"]`,
	"transport.NAME.helo":             `"mail.example.org"`,
	"transport.NAME.socket":           `"/run/dovecot/lmtp"`,
	"transport.NAME.host":             `"[127.0.0.1]:24"`,
	"transport.NAME.path":             `"{home}/Maildir"`,
	"transport.NAME.command":          `["/usr/local/bin/handle", "{recipient}"]`,
	"transport.NAME.user":             `"vmail"`,
	"transport.NAME.environment":      `["LANG=C.UTF-8"]`,
	"rewrite.name":                    `"strip-host"`,
	"rewrite.sources":                 `["envelope-sender", "from", "sender", "reply-to"]`,
	"rewrite.listeners":               `["mx"]`,
	"rewrite.clients":                 `["192.0.2.0/24"]`,
	"rewrite.match":                   `"*@*.example.org"`,
	"rewrite.to":                      `"{1}@example.org"`,
	"rewrite.then":                    `"continue"`,
	"copy.name":                       `"archive"`,
	"copy.of":                         `"sender"`,
	"copy.match":                      `["*@example.org"]`,
	"copy.to":                         `["archive@example.org"]`,
	"copy.lookup":                     `"supervisors"`,
	"copy.listeners":                  `["mx"]`,
	"retry.name":                      `"never-listens"`,
	"retry.match":                     `["*.example.org", "*@lists.example.org"]`,
	"retry.on":                        `["refused"]`,
	"retry.codes":                     `["45?", "4.2.*"]`,
	"retry.mx":                        `false`,
	"retry.senders":                   `["<>"]`,
	"retry.jitter":                    `10`,
	"retry.afterwards":                `"again"`,
	"retry.phases":                    `[{ every = "15m", until = "2h" }, { from = "15m", factor = 1.5, max = "4h", until = "5 days" }]`,
	"reports.contact":                 `"postmaster@example.org"`,
	"reports.languages_by_domain":     `{ "*.example.ch" = "fr" }`,
	"reports.templates":               `"reports"`,
	"dns.servers":                     `["192.0.2.53", "[2001:db8::53]:53"]`,
	"log.debug":                       `["smtpd"]`,
}

// Sample is the sample configuration: every setting with its documentation and
// its default, all of it as comments.
func Sample() string {
	var b strings.Builder
	b.WriteString(sampleHead)
	for _, d := range Docs() {
		b.WriteByte('\n')
		for _, line := range Wrap(d.Text, 76) {
			fmt.Fprintf(&b, "# %s\n", line)
		}
		key := d.Key[strings.LastIndexByte(d.Key, '.')+1:]
		switch d.Type {
		case "table":
			fmt.Fprintf(&b, "#[%s]\n", d.Key)
		case "table, repeated":
			fmt.Fprintf(&b, "#[[%s]]\n", d.Key)
		case "table by name":
			fmt.Fprintf(&b, "#[%s]\n", d.Key)
		default:
			fmt.Fprintf(&b, "#%s = %s\n", key, sampleValue(d))
		}
	}
	return b.String()
}

func sampleValue(d Doc) string {
	switch {
	case d.Default != "":
		return d.Default
	case examples[d.Key] != "":
		return examples[d.Key]
	case strings.HasPrefix(d.Type, "list"):
		return "[]"
	case d.Type == "true or false":
		return "false"
	case d.Type == "number" || d.Type == "size":
		return "0"
	}
	return `""`
}

// Wrap breaks text into lines of at most width characters.
func Wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
