package config

import (
	"fmt"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// Drivers of directors, by what they have in common.
var (
	directorDrivers = []string{"aliasfile", "forwardfile", "user", "virtual", "list", "relocated", "command", "accept", "smartuser", "route"}
	fileDirectors   = []string{"aliasfile", "forwardfile", "user", "virtual", "list", "relocated"}
	targetDirectors = []string{"aliasfile", "forwardfile", "virtual"}
	takingDirectors = []string{"aliasfile", "user", "virtual", "command", "accept"}
)

// directorOptions says for which drivers an option of [[director]] has a
// meaning; what is not listed has one for all.
var directorOptions = map[string][]string{
	"file":           fileDirectors,
	"lookup":         fileDirectors,
	"optional":       {"aliasfile", "user", "virtual", "list", "relocated"},
	"users":          {"user"},
	"transport":      takingDirectors,
	"pipe_transport": targetDirectors,
	"file_transport": targetDirectors,
	"allow_pipes":    targetDirectors,
	"allow_files":    targetDirectors,
	"allow_includes": {"forwardfile"},
	"user":           {"aliasfile", "virtual", "command", "accept"},
	"group":          takingDirectors,
	"address":        {"smartuser"},
	"separator":      {"aliasfile", "forwardfile", "user", "virtual", "list", "relocated", "command", "accept", "smartuser"},
	"list":           {"list"},
	"verp":           {"list"},
	"command":        {"command"},
	"timeout":        {"command"},
}

// localTransports are the drivers that a director can hand mail to.
var localTransports = []string{"maildir", "mbox", "pipe", "lmtp", "discard"}

func (c *checker) checkDirectors() {
	c.names("director", len(c.s.Directors), func(i int) string { return c.s.Directors[i].Name })
	names := make([]string, len(c.s.Directors))
	for i := range c.s.Directors {
		names[i] = c.s.Directors[i].Name
	}
	for i := range c.s.Directors {
		d := &c.s.Directors[i]
		path := fmt.Sprintf("director[%d]", i)
		c.course(path, &d.Conditions, &d.Course, names, i)
		if !c.oneOf(path+".driver", d.Driver, directorDrivers...) {
			continue
		}
		c.onlyFor(path, d.Driver, directorOptions)
		if d.Separator != "" && (len(d.Separator) > 8 || strings.ContainsAny(d.Separator, "@ \t\"\\") || !isPrintable(d.Separator)) {
			c.bad(path+".separator", fmt.Sprintf("%q cannot separate a user from a detail", d.Separator), `use a character like "+" or "-"`)
		}
		c.fileOrLookup(path, d)
		c.directorDriver(path, d)
		c.targets(path, d)
		c.actor(path, d)
	}
}

// fileOrLookup checks that a director that needs a table has one, and not two.
func (c *checker) fileOrLookup(path string, d *settings.Director) {
	file := c.isSet(path + ".file")
	if d.Lookup != "" && contains(fileDirectors, d.Driver) {
		c.lookupName(path+".lookup", d.Lookup)
		if file && d.Driver != "forwardfile" && d.Driver != "user" { // these have words of their own
			c.bad(path+".file", "has no effect with lookup, which is asked instead", "remove one of the two")
		}
		if d.Optional {
			c.bad(path+".optional", "has no effect with a lookup: it is about a file that is not there", `remove it; on_defer says what follows when a lookup does not answer`)
		}
		return
	}
	examples := map[string]string{"aliasfile": "aliases", "virtual": "virtual", "list": "staff", "relocated": "relocated"}
	if example := examples[d.Driver]; example != "" && d.File == "" {
		c.bad(path+".file", fmt.Sprintf("is missing: %s %s director reads a file or asks a lookup", article(d.Driver), d.Driver),
			fmt.Sprintf("write file = %q, or lookup = \"NAME\"", example))
	}
}

func article(word string) string {
	if strings.ContainsRune("aeiou", rune(word[0])) && word != "user" {
		return "an"
	}
	return "a"
}

func (c *checker) directorDriver(path string, d *settings.Director) {
	switch d.Driver {
	case "user":
		c.userDirector(path, d)
	case "forwardfile":
		c.forwardName(path+".file", d.File)
	case "list":
		c.mailingList(path, d)
	case "command":
		c.programOf(path, d.Command, d.Timeout, "local_part", "domain", "detail", "sender", "recipient")
		c.directorTransport(path, d)
	case "accept":
		c.directorTransport(path, d)
	case "smartuser":
		c.smartAddress(path+".address", d.Address)
	}
}

// directorTransport checks the transport of a director that must have one.
func (c *checker) directorTransport(path string, d *settings.Director) {
	if d.Transport == "" {
		c.bad(path+".transport", fmt.Sprintf("is missing: %s %s director needs to know how to deliver", article(d.Driver), d.Driver), `write transport = "maildir"`)
		return
	}
	c.ownTransport(path+".transport", d.Transport)
}

// ownTransport checks a transport that a director names. A director finds users,
// not hosts: one that sends must know its server itself.
func (c *checker) ownTransport(key, name string) {
	t, ok := c.s.Transports[name]
	if ok && t.Driver == "smtp" {
		c.bad(key, fmt.Sprintf("transport %q has driver \"smtp\", and a director finds no hosts for it", name),
			`name a local transport, or one with driver "lmtp" and its socket or host; a smartuser director and a router send mail on`)
		return
	}
	if ok && leadsNowhere(t) {
		c.bad(key, fmt.Sprintf("transport %q says nowhere to send to, and a director finds no hosts for it", name), fmt.Sprintf("write socket or host in [transport.%s]", name))
		return
	}
	c.transport(key, name, localTransports...)
}

// leadsNowhere tells a transport that sends, and has to be told where to.
func leadsNowhere(t settings.Transport) bool {
	return t.Driver == "lmtp" && t.Socket == "" && t.Host == ""
}

func (c *checker) userDirector(path string, d *settings.Director) {
	c.ownTransport(path+".transport", d.Transport)
	if !c.oneOf(path+".users", d.Users, "system", "table", "lookup") {
		return
	}
	for _, want := range []struct{ users, option, set, hint string }{
		{"table", "file", d.File, `write file = "users"`},
		{"lookup", "lookup", d.Lookup, `write lookup = "NAME" for [lookup.NAME]`},
	} {
		switch {
		case d.Users == want.users && want.set == "":
			c.bad(path+"."+want.option, "is missing: users from a "+want.users+" need the "+want.users, want.hint)
		case d.Users != want.users && c.isSet(path+"."+want.option):
			c.bad(path+"."+want.option, fmt.Sprintf("has no effect with users = %q", d.Users), fmt.Sprintf("remove it, or write users = %q", want.users))
		}
	}
}

// forwardName checks the name of the files in the users' homes.
func (c *checker) forwardName(key, name string) {
	if name == "" {
		return
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		c.bad(key, "has a control character in it", "")
	}
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			c.bad(key, `has ".." in it`, "it is relative to the home directory: name what lies there")
		}
	}
	c.placeholders(key, name, "home", "user", "detail")
}

func (c *checker) mailingList(path string, d *settings.Director) {
	if d.List == "" && d.Lookup == "" {
		c.bad(path+".list", "is missing: members from a file are those of one list", `write list = "staff@example.org"`)
	}
	if d.List != "" {
		c.address(path+".list", d.List, true)
		if a, err := mailaddr.ParseLocalOrMailbox(untrusted.From(d.List)); err == nil && strings.HasPrefix(strings.ToLower(a.Local()), "owner-") {
			c.bad(path+".list", `begins with "owner-", which is the address of a list's owner`, "name the list itself; errors_to is its owner")
		}
	}
	if d.VERP && d.ErrorsTo == "" {
		c.bad(path+".verp", "is set without errors_to, so nobody would get what comes to owner-LIST+member=domain", `write errors_to = "listmaster@example.org"`)
	}
	if !d.VERP && d.ErrorsTo == "" && d.Lookup == "" {
		c.warn(path+".errors_to", "is not set: reports go to owner-"+d.List, "see that this address exists, or write errors_to")
	}
}

// targets checks what serves "|command" and "/file".
func (c *checker) targets(path string, d *settings.Director) {
	if !contains(targetDirectors, d.Driver) {
		return
	}
	c.transport(path+".pipe_transport", d.PipeTransport, "pipe")
	c.transport(path+".file_transport", d.FileTransport, "mbox", "maildir")
	if d.Transport != "" && contains(takingDirectors, d.Driver) {
		c.ownTransport(path+".transport", d.Transport)
		for _, key := range []string{"pipe_transport", "file_transport", "allow_pipes", "allow_files"} {
			if c.isSet(path + "." + key) {
				c.bad(path+"."+key, "has no effect with transport, which takes all mail whatever the entries say", "remove one of the two")
			}
		}
	}
}

// actor checks who delivers.
func (c *checker) actor(path string, d *settings.Director) {
	if d.User == "root" && c.s.Instance.Separate { // else everything runs as the caller, whoever that is
		c.bad(path+".user", "is root, and mail is never delivered as root", "name another user")
	}
	if d.Group != "" && d.User == "" && d.Driver != "user" && contains(takingDirectors, d.Driver) {
		c.bad(path+".group", "is set without user, so it is nobody's", "name the user too, or set group for the transport")
	}
}

// smartAddress checks an address in which {local_part}, {domain} and {detail}
// may stand for those of the recipient.
func (c *checker) smartAddress(key, address string) {
	if address == "" {
		c.bad(key, "is missing: a smartuser director sends on to an address", `write address = "someone@example.org"`)
		return
	}
	if !c.placeholders(key, address, "local_part", "domain", "detail") {
		return
	}
	c.address(key, fillIn(address), true)
}
