package mtactl

import (
	"os"
	"strings"

	"filbert/pkg/aliases"
)

// people warns where mail for those whom every system has, root and postmaster,
// would wait for ever: no mailbox is root's, so somebody's name must stand for
// them (RFC 5321, section 4.5.1).
func (x *examiner) people() {
	if strings.Contains(x.s.Postmaster, "@") {
		return
	}
	path := ""
	for _, d := range x.s.Directors {
		switch {
		case d.Driver == "smartuser", d.Driver == "user" && d.Users == "table":
			return // a table or a catch-all may well have them
		case d.Driver != "aliasfile":
			continue
		}
		path = d.File
		data, err := os.ReadFile(d.File)
		if err != nil {
			continue // reported elsewhere, if it matters
		}
		t, err := aliases.Parse(d.File, data)
		if err != nil || t.Has("postmaster") || t.Has("root") {
			return
		}
	}
	if path == "" {
		return
	}
	x.doubt(path, "has no entry for root or postmaster, so mail for them would wait and never arrive",
		"add a line like \"root: you\" and one \"postmaster: root\", with the name of somebody who reads it")
}
