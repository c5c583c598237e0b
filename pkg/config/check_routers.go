package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"filbert/pkg/pattern"
	"filbert/pkg/route"
	"filbert/pkg/settings"
)

// routerOptions says for which drivers an option of [[router]] has a meaning;
// what is not listed has one for all.
var routerOptions = map[string][]string{
	"file":           {"table"},
	"map":            {"table"},
	"lookup":         {"table", "smarthost"},
	"hosts":          {"smarthost"},
	"choose":         {"smarthost"},
	"credentials":    {"smarthost"},
	"port":           {"mx", "table", "smarthost", "literal", "command"},
	"transport":      {"mx", "table", "smarthost", "literal", "command", "accept"},
	"user":           {"accept", "command"},
	"group":          {"accept", "command"},
	"mx_only":        {"mx", "table", "smarthost", "command"},
	"mx_only_except": {"mx", "table", "smarthost", "command"},
	"self":           {"mx"},
	"message":        {"fail", "defer"},
	"command":        {"command"},
	"timeout":        {"command"},
	"retry":          {"mx", "table", "smarthost", "literal", "command", "accept"},
	"errors_to":      {"mx", "table", "smarthost", "literal", "command", "accept"},
	"headers_add":    {"mx", "table", "smarthost", "literal", "command", "accept"},
	"headers_remove": {"mx", "table", "smarthost", "literal", "command", "accept"},
}

func (c *checker) checkRouters() {
	c.names("router", len(c.s.Routers), func(i int) string { return c.s.Routers[i].Name })
	var names []string
	for i := range c.s.Routers {
		names = append(names, c.s.Routers[i].Name)
	}
	for i := range c.s.Routers {
		r := &c.s.Routers[i]
		path := fmt.Sprintf("router[%d]", i)
		c.course(path, &r.Conditions, &r.Course, names, i)
		c.askingPatterns(path+".mx_only", r.MXOnly, pattern.Domains)
		c.askingPatterns(path+".mx_only_except", r.MXOnlyExcept, pattern.Domains)
		if !c.oneOf(path+".driver", r.Driver, "mx", "table", "smarthost", "literal", "command", "accept", "fail", "defer") {
			continue
		}
		c.onlyFor(path, r.Driver, routerOptions)
		c.between(path+".port", r.Port, 0, 65535)
		c.routerTransport(path, r)
		c.routerDriver(path, r)
	}
}

// routerTransport checks that the transport can do with what the driver finds.
func (c *checker) routerTransport(path string, r *settings.Router) {
	switch r.Driver {
	case "fail", "defer":
	case "accept":
		if !c.isSet(path + ".transport") {
			c.bad(path+".transport", "is missing: an accept router finds no hosts, so the transport must know what to do", `write the name of a transport: maildir, pipe, lmtp or discard`)
			return
		}
		if t, ok := c.s.Transports[r.Transport]; ok && leadsNowhere(t) {
			c.bad(path+".transport", fmt.Sprintf("transport %q says nowhere to send to, and an accept router finds no hosts for it", r.Transport),
				fmt.Sprintf("write socket or host in [transport.%s]", r.Transport))
			return
		}
		c.transport(path+".transport", r.Transport, localTransports...)
	default:
		c.transport(path+".transport", r.Transport, "smtp", "lmtp")
	}
}

func (c *checker) routerDriver(path string, r *settings.Router) {
	switch r.Driver {
	case "smarthost":
		c.smarthost(path, r)
	case "table":
		if r.File == "" && len(r.Map) == 0 && r.Lookup == "" {
			c.bad(path+".file", "is missing: a table router needs file, map or lookup", `write map = { "example.org" = "mail.example.org" }`)
		}
		if r.Lookup != "" {
			c.lookupName(path+".lookup", r.Lookup)
		}
	case "mx", "literal":
		if t := c.s.Transports[r.Transport]; t.Username != "" {
			who := map[string]string{"mx": "DNS", "literal": "the sender"}[r.Driver]
			c.bad(path+".transport", fmt.Sprintf("transport %q has a password, which would go to whatever host %s names", r.Transport, who),
				"use a transport without username here, or driver smarthost with the host in brackets")
		}
		if r.Self != "" {
			c.oneOf(path+".self", r.Self, "fail", "defer", "decline")
		}
	case "command":
		c.programOf(path, r.Command, r.Timeout, "local_part", "domain", "sender", "recipient")
	case "fail", "defer":
		if strings.ContainsFunc(r.Message, func(x rune) bool { return x < ' ' || x == 0x7f }) {
			c.bad(path+".message", "has a control character in it", "write it as one line of text")
		}
	}
	if r.Credentials != "" || c.s.Transports[r.Transport].Username != "" {
		c.passwordHosts(path, r)
	}
	c.hostLists(path, r)
}

func (c *checker) smarthost(path string, r *settings.Router) {
	if len(r.Hosts) == 0 && r.Lookup == "" {
		c.bad(path+".hosts", "is missing: a smarthost router needs the host to send to", `write hosts = ["[smtp.example.net]:587"]`)
	}
	if r.Lookup != "" {
		c.lookupName(path+".lookup", r.Lookup)
	}
	if r.Credentials != "" {
		c.lookupName(path+".credentials", r.Credentials)
	}
	if r.Choose != "" && c.oneOf(path+".choose", r.Choose, "order", "turn", "weight", "sender") && r.Choose != "order" && len(r.Hosts) < 2 {
		c.bad(path+".choose", "has no effect: there are not two hosts to choose from", "remove it, or name more hosts")
	}
}

// maxProgramTime bounds a program that is asked where mail goes.
const maxProgramTime = time.Minute

// passwordHosts refuses hosts to which a password would go by way of MX records.
func (c *checker) passwordHosts(path string, r *settings.Router) {
	for i, h := range r.Hosts {
		host, _, _ := strings.Cut(h, "*")
		c.passwordHost(fmt.Sprintf("%s.hosts[%d]", path, i), host)
	}
	for _, domain := range sortedKeys(r.Map) {
		for _, host := range strings.Fields(r.Map[domain]) {
			c.passwordHost(path+".map."+domain, host)
		}
	}
}

func (c *checker) passwordHost(key, host string) {
	if spec, err := route.ParseSpec(host); err == nil && spec.MX {
		c.bad(key, fmt.Sprintf("%q is looked up by its MX records, and whoever forges those would get the password", host),
			fmt.Sprintf("write the host itself in brackets: %q", strings.Replace(host, spec.Host, "["+spec.Host+"]", 1)))
	}
}

// programOf checks the command of a command director or router.
func (c *checker) programOf(path string, command []string, timeout settings.Duration, allowed ...string) {
	if len(command) == 0 {
		c.bad(path+".command", "is missing: it is the program to ask", `write command = ["/usr/local/lib/filbert/ask", "{recipient}"]`)
		return
	}
	if !strings.HasPrefix(command[0], "/") {
		c.bad(path+".command[0]", fmt.Sprintf("%q is no absolute path", command[0]), "no shell and no search path is used: write the whole path of the program")
	}
	for i, arg := range command[1:] {
		c.placeholders(fmt.Sprintf("%s.command[%d]", path, i+1), arg, allowed...)
	}
	if c.isSet(path + ".timeout") {
		c.longerThan0(path+".timeout", timeout)
		if timeout.D() > maxProgramTime {
			c.bad(path+".timeout", fmt.Sprintf("is %s; the most is %s", timeout, settings.Duration(maxProgramTime)), "who asks where mail goes does not wait longer")
		}
	}
}

func (c *checker) hostLists(path string, r *settings.Router) {
	for i, h := range r.Hosts {
		key := fmt.Sprintf("%s.hosts[%d]", path, i)
		host, weight, weighted := strings.Cut(h, "*")
		switch n, err := strconv.Atoi(weight); {
		case weighted && r.Choose != "weight":
			c.bad(key, fmt.Sprintf("%q has a weight, which nothing looks at", h), `write choose = "weight", or the host without "*"`)
			continue
		case weighted && (err != nil || n < 1 || n > 100):
			c.bad(key, fmt.Sprintf("%q: the weight behind the * is no number from 1 to 100", h), `write "[a.example]*3"`)
			continue
		}
		c.host(key, host)
	}
	for _, domain := range sortedKeys(r.Map) {
		key := path + ".map." + domain
		c.patterns(key, []string{domain}, pattern.Domains)
		hosts := strings.Fields(r.Map[domain])
		if len(hosts) == 0 {
			c.bad(key, "names no host", `write the hosts, separated by spaces: "a.example b.example:2525"`)
		}
		for _, h := range hosts {
			c.host(key, h)
		}
	}
}
