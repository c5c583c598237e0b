package config

import (
	"fmt"
	"strings"
)

// roff protects what roff would take for a command or a dash.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

// manPage is filbert.toml(5): the settings with their comments.
func manPage() string {
	var b strings.Builder
	b.WriteString(`.\" Generated from the comments in pkg/settings; do not edit.
.TH FILBERT.TOML 5 2026 "Filbert" "File formats"
.SH NAME
filbert.toml \- configuration of the Filbert mail server
.SH DESCRIPTION
One file in the TOML format, /etc/filbert/filbert.toml, or DIR/etc/filbert.toml of a
private instance; files in conf.d/*.toml beside it are read after it, in the order of
their names, as if they were its end. An empty file is a working, safe, local mail
server.
.PP
Times and sizes are text with a unit: "90s", "15m", "4 hours", "5 days"; "64 KB",
"50 MB", "2 GB". Unknown keys, wrong types, bad patterns and names that refer to nothing
are errors, told with file, line, column and what to write instead; all of them at once.
.PP
Order matters for directors, routers and patterns alone: the first that takes an address,
or matches, decides.
.SS Patterns
.TP
.B example.org
exactly this name
.TP
.B *.example.org
a glob: * is any run of characters, ? is one
.TP
.B *@*.example.org
the same for addresses; <> is the null sender
.TP
.B /^mx[0\-9]+\e./
an RE2 regular expression
.TP
.B 192.0.2.0/24
an address or a network, in lists of networks
.TP
.B !pattern
an exception; it stands in front of what it is an exception from
.SS Placeholders
{local_part} {domain} {detail} {user} {home} {mail} {sender} {recipient} {id}: each where
its setting says so, and checked for the place where its value lands. There is no
expression language and no shell.
.SH SETTINGS
`)
	for _, d := range Docs() {
		switch d.Type {
		case "table":
			fmt.Fprintf(&b, ".SS [%s]\n%s\n", roff(d.Key), roff(d.Text))
		case "table, repeated":
			fmt.Fprintf(&b, ".SS [[%s]], as many as wanted\n%s\n", roff(d.Key), roff(d.Text))
		case "table by name":
			fmt.Fprintf(&b, ".SS [%s]\n%s\n", roff(d.Key), roff(d.Text))
		default:
			fmt.Fprintf(&b, ".TP\n.B %s\n", roff(d.Key[strings.LastIndexByte(d.Key, '.')+1:]))
			note := d.Type
			if d.Default != "" {
				note += ", default " + d.Default
			}
			fmt.Fprintf(&b, "(%s)\n%s\n", roff(note), roff(d.Text))
		}
	}
	b.WriteString(`.SH EXAMPLE
.nf
hostname = "mail.example.org"

[domains]
local = ["example.org"]

[[listen]]
name = "mx"
address = ":25"

[[director]]
name = "aliases"
driver = "aliasfile"
file = "aliases"

[[director]]
name = "users"
driver = "user"
transport = "maildir"

[[router]]
name = "internet"
driver = "mx"
transport = "smtp"
.fi
.SH SEE ALSO
.BR mtactl (8),
which tests a configuration (check), prints what is in force and where it came from
(config show), and explains each setting (config help).
`)
	return b.String()
}
