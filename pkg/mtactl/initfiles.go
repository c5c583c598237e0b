package mtactl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"filbert/pkg/config"
)

// configuration is the text of filbert.toml.
func (p *plan) configuration() string {
	var b strings.Builder
	b.WriteString(`# The configuration of a private instance of Filbert.
#
# Read from top to bottom; what is not here has its default. Times and sizes are
# text with a unit ("15m", "4 days", "50 MB"). After a change:
#
#   ` + p.self + ` check        tests it
#   ` + p.self + ` reload       puts it in force
#   ` + p.self + ` config help  explains every setting
#   ` + p.self + ` explain ADDRESS  walks an address through it

`)
	p.names(&b)
	p.listeners(&b)
	p.routing(&b)
	return b.String()
}

// set writes a setting, or its example as a comment when there is nothing to
// set.
func set(b *strings.Builder, known bool, key, value, comment string) {
	prefix := ""
	if !known {
		prefix = "#"
	}
	line := fmt.Sprintf("%s%s = %s", prefix, key, value)
	if comment != "" {
		line = fmt.Sprintf("%-48s# %s", line, comment)
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}

func (p *plan) names(b *strings.Builder) {
	set(b, true, "hostname", quote(p.hostname), "this machine's mail name")
	b.WriteString("\n[domains]\n")
	set(b, true, "local", quoteList(p.local()), "directors handle these")
	set(b, false, "relay", quoteList([]string{"partner.example"}), "accepted from anyone, routed on")
	set(b, true, "trusted", quoteList([]string{"127.0.0.0/8", "::1"}), "may send to anywhere")
	if len(p.dns) > 0 {
		b.WriteString("\n[dns]\n")
		set(b, true, "servers", quoteList(p.dns), "asked in this order")
	}
}

// local are the local domains: those asked for, and the names under which
// programs on this machine write to its users.
func (p *plan) local() []string {
	list := append([]string(nil), p.domains...)
	for _, d := range []string{p.hostname, "localhost"} {
		if !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	return list
}

func (p *plan) listeners(b *strings.Builder) {
	b.WriteString("\n# --- where mail comes in ---\n")
	for i, addr := range p.smtp {
		b.WriteString("\n[[listen]]\n")
		set(b, true, "name", quote(numbered("smtp", i)), "")
		set(b, true, "address", quote(addr), "")
	}
	for i, addr := range p.submission {
		b.WriteString("\n[[listen]]\n")
		set(b, true, "name", quote(numbered("submission", i)), "")
		set(b, true, "address", quote(addr), "")
		set(b, true, "submission", "true", "your own users: missing header fields are added")
		if len(p.domains) > 0 {
			set(b, true, "qualify", quote(p.domains[0]), "bare names become addresses here")
		}
	}
	if len(p.smtp)+len(p.submission) == 0 {
		b.WriteString("\n#[[listen]]\n#name = \"smtp\"\n#address = \"127.0.0.1:2525\"\n")
	}
}

func numbered(name string, i int) string {
	if i == 0 {
		return name
	}
	return name + "-" + strconv.Itoa(i+1)
}

func (p *plan) routing(b *strings.Builder) {
	b.WriteString(`
# --- local addresses: directors, in order ---

[[director]]
name = "aliases"
driver = "aliasfile"
file = "aliases"

[[director]]
name = "users"
driver = "user"
users = "table"                                # "system" would be the machine's users
file = "users"
separator = "+"                                 # name+anything is name's mail
transport = "maildir"

# --- remote addresses: routers, in order ---

`)
	if p.smarthost != "" {
		b.WriteString("[[router]]\nname = \"smarthost\"\ndriver = \"smarthost\"\n")
		set(b, true, "hosts", quoteList([]string{p.smarthost}), "all mail for elsewhere")
		b.WriteString("transport = \"smtp\"\n")
	} else {
		b.WriteString(`[[router]]
name = "literal"                                # user@[192.0.2.1]
driver = "literal"
transport = "smtp"

[[router]]
name = "internet"
driver = "mx"
transport = "smtp"
`)
	}
	b.WriteString("\n# --- how: transports, by name ---\n\n[transport.maildir]\n")
	if p.maildirForAll {
		set(b, true, "path", quote("{mail}/{local_part}"), "a Maildir for every name")
	} else {
		set(b, true, "path", quote("{mail}/{user}"), "")
	}
}

// aliases is the text of the alias file.
func (p *plan) aliases() string {
	var b strings.Builder
	b.WriteString(`# Other names: who a name stands for.
#
#   name: someone, someone-else@example.org
#   list: :include:/path/to/a/list
#   old:  :fail: this address is no longer in use
#
# The suite sees changes by itself; ` + p.self + ` check tests them.

`)
	for _, line := range []struct{ name, target string }{
		{"postmaster", p.user}, {"root", "postmaster"}, {"mailer-daemon", "postmaster"}, {"abuse", "postmaster"},
	} {
		switch {
		case line.name == p.user:
			continue // has the mailbox
		case line.target == p.user:
			line.target = `\` + p.user // and is no alias, even if the user is root
		}
		fmt.Fprintf(&b, "%-15s %s\n", line.name+":", line.target)
	}
	return b.String()
}

// users is the text of the table of users.
func (p *plan) users() string {
	var b strings.Builder
	b.WriteString(`# Who has a mailbox here.
#
#   name or address       user
#   @domain               user      for all other names there
#
# Any name can be a user: an instance of one's own keeps all mailboxes itself.

`)
	fmt.Fprintf(&b, "%-20s  %s\n", p.user, p.user)
	if !p.maildirForAll {
		return b.String()
	}
	b.WriteString("\n# Every name has a Maildir: the transport is told to use {local_part}.\n")
	for _, d := range p.local() {
		fmt.Fprintf(&b, "@%-19s  %s\n", d, p.user)
	}
	return b.String()
}

func quote(s string) string { return config.Quote(s) }

func quoteList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
