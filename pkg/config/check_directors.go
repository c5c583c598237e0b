package config

import (
	"fmt"
	"strings"

	"filbert/pkg/pattern"
	"filbert/pkg/settings"
)

// directorOptions says for which drivers an option of [[director]] has a
// meaning; what is not listed has one for all.
var directorOptions = map[string][]string{
	"file":           {"aliasfile", "user"},
	"optional":       {"aliasfile", "user"},
	"users":          {"user"},
	"transport":      {"user", "aliasfile"},
	"pipe_transport": {"aliasfile"},
	"file_transport": {"aliasfile"},
	"allow_pipes":    {"aliasfile"},
	"allow_files":    {"aliasfile"},
	"user":           {"aliasfile"},
	"address":        {"smartuser"},
	"separator":      {"user", "aliasfile"},
	"errors_to":      {"aliasfile", "smartuser"},
}

// localTransports are the drivers that a director can hand mail to.
var localTransports = []string{"maildir", "mbox", "pipe", "lmtp", "discard"}

func (c *checker) checkDirectors() {
	c.names("director", len(c.s.Directors), func(i int) string { return c.s.Directors[i].Name })
	for i := range c.s.Directors {
		d := &c.s.Directors[i]
		path := fmt.Sprintf("director[%d]", i)
		c.patterns(path+".domains", d.Domains, pattern.Domains)
		c.patterns(path+".local_parts", d.LocalParts, pattern.LocalParts)
		if !c.oneOf(path+".driver", d.Driver, "aliasfile", "user", "smartuser") {
			continue
		}
		c.onlyFor(path, d.Driver, directorOptions)
		if d.ErrorsTo != "" {
			c.address(path+".errors_to", d.ErrorsTo, true)
		}
		if d.Separator != "" && (len(d.Separator) > 8 || strings.ContainsAny(d.Separator, "@ \t\"\\") || !isPrintable(d.Separator)) {
			c.bad(path+".separator", fmt.Sprintf("%q cannot separate a user from a detail", d.Separator), `use a character like "+" or "-"`)
		}
		c.directorDriver(path, d)
	}
}

func (c *checker) directorDriver(path string, d *settings.Director) {
	switch d.Driver {
	case "aliasfile":
		if d.File == "" {
			c.bad(path+".file", "is missing: an aliasfile director reads a file", `write file = "aliases"`)
		}
		if d.Transport != "" {
			c.transport(path+".transport", d.Transport, localTransports...)
		}
		c.transport(path+".pipe_transport", d.PipeTransport, "pipe")
		c.transport(path+".file_transport", d.FileTransport, "mbox", "maildir")
	case "user":
		c.transport(path+".transport", d.Transport, localTransports...)
		if c.oneOf(path+".users", d.Users, "system", "table") && d.Users == "table" && d.File == "" {
			c.bad(path+".file", "is missing: users from a table need the table", `write file = "users"`)
		}
		if d.Users == "system" && c.isSet(path+".file") {
			c.bad(path+".file", `has no effect with users = "system"`, `remove it, or write users = "table"`)
		}
	case "smartuser":
		c.smartAddress(path+".address", d.Address)
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
