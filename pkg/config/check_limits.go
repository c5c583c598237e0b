package config

import (
	"fmt"
	"strings"

	"filbert/pkg/settings"
)

func (c *checker) checkLimits() {
	l := c.s.Limits
	c.sizeAtLeast("limits.message_size", l.MessageSize, 1<<10)
	c.between("limits.recipients", l.Recipients, 1, 100_000)
	if l.MessageSize < 64<<10 {
		c.warn("limits.message_size", fmt.Sprintf("is %s; RFC 5321, section 4.5.3.1.7 asks for 64 KB at least", l.MessageSize), "")
	}
	if l.Recipients < 100 {
		c.warn("limits.recipients", fmt.Sprintf("is %d; RFC 5321, section 4.5.3.1.8 asks for 100 at least", l.Recipients), "")
	}
	c.between("limits.deliveries", l.Deliveries, 1, 100_000)
	c.between("limits.per_destination", l.PerDestination, 1, 100_000)
	c.between("limits.local_children", l.LocalChildren, 1, 10_000)
	c.between("limits.per_user", l.PerUser, 1, 10_000)
	c.sizeAtLeast("limits.header_size", l.HeaderSize, 1<<10)
	c.between("limits.header_fields", l.HeaderFields, 1, 1_000_000)
	c.between("limits.hops", l.Hops, 1, 1000)
	c.between("limits.errors", l.Errors, 1, 10_000)
	c.between("limits.commands", l.Commands, 1, 1_000_000)
	c.longerThan0("limits.command_timeout", l.CommandTimeout)
	c.longerThan0("limits.data_timeout", l.DataTimeout)
	c.longerThan0("limits.message_timeout", l.MessageTimeout)
	c.between("limits.expansion", l.Expansion, 1, 10_000_000)
	c.longerThan0("limits.drain_timeout", l.DrainTimeout)
	if l.MessageSize > 2<<30 {
		c.warn("limits.message_size", fmt.Sprintf("is %s; few servers take so much", l.MessageSize), "")
	}
}

func (c *checker) checkSpool() {
	s := c.s.Spool
	// A record is at most a quarter of a segment, and a message of 128 KB
	// (proto.InlineMax) with its recipients has to fit one.
	c.sizeAtLeast("spool.segment_size", s.SegmentSize, 1<<20)
	if s.SegmentSize > 256<<20 { // journal.MaxSegmentSize
		c.bad("spool.segment_size", fmt.Sprintf("is %s; the most is 256 MB", s.SegmentSize), "")
	}
	if s.SegmentSize%4096 != 0 {
		c.bad("spool.segment_size", "is no multiple of 4 KB", `write it in MB: "16 MB"`)
	}
	c.between("spool.max_segments", s.MaxSegments, 2, 100_000)
	c.sizeAtLeast("spool.reserve", s.Reserve, 0)
}

// services are the names that log.debug knows.
var services = []string{
	"master", "smtpd", "pickup", "cleanup", "dispatch", "router", "smtp-client",
	"local-deliver", "bounce", "qmgr", "mtadb", "all",
}

func (c *checker) checkMemory() {
	// Below this each part of the history would be gone before it is of use.
	c.sizeAtLeast("memory.max_size", c.s.Memory.MaxSize, 16<<20)
	c.longerThan0("memory.history_age", c.s.Memory.HistoryAge)
}

func (c *checker) checkLog() {
	c.oneOf("log.format", c.s.Log.Format, "text", "json")
	for i, name := range c.s.Log.Debug {
		c.oneOf(fmt.Sprintf("log.debug[%d]", i), name, services...)
	}
}

func (c *checker) checkUsers() {
	u := c.s.Users
	for _, x := range []struct{ key, name string }{
		{"users.main", u.Main},
		{"users.in", u.In},
		{"users.out", u.Out},
		{"users.route", u.Route},
		{"users.memory", u.Memory},
		{"users.drop_group", u.DropGroup},
		{"users.admin_group", u.AdminGroup},
	} {
		if x.name == "" || strings.ContainsAny(x.name, ":/ \t\n") || strings.HasPrefix(x.name, "-") {
			c.bad(x.key, fmt.Sprintf("%q is no name of a user or group", x.name), "remove the line for the default")
		}
	}
	c.separateUsers(u)
}

// separateUsers refuses root and users that serve two ends: the walls between
// the programs are made of these names.
func (c *checker) separateUsers(u settings.Users) {
	seen := map[string]string{}
	for _, x := range []struct{ key, name string }{
		{"users.main", u.Main}, {"users.in", u.In}, {"users.out", u.Out}, {"users.route", u.Route},
		{"users.memory", u.Memory},
	} {
		if x.name == "root" {
			c.bad(x.key, "is root, which would undo the separation", "name a user of its own")
		}
		if first, ok := seen[x.name]; ok {
			c.bad(x.key, fmt.Sprintf("%q is %s too, so the two could reach each other's files", x.name, first), "name a user of its own for each")
		}
		seen[x.name] = x.key
	}
	if u.DropGroup == u.AdminGroup {
		c.bad("users.drop_group", "is users.admin_group too, so every local sender could command the suite", "name two groups")
	}
}
