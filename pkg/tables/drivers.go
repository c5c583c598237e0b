package tables

import (
	"fmt"

	"filbert/pkg/cdb"
	"filbert/pkg/ldaptable"
	"filbert/pkg/lookup"
	"filbert/pkg/redistable"
	"filbert/pkg/settings"
	"filbert/pkg/socketmap"
	"filbert/pkg/sqltable"
)

// open opens the table itself, and tells whether it is on a server. A database
// file of sqlite counts as one: its questions take time, and may have to wait for
// a writer.
func open(name string, set settings.Lookup, world World) (t lookup.Table, isServer bool, err error) {
	o := lookup.Options{Path: set.Path, Now: world.Now}
	if world.Complain != nil {
		o.Complain = func(err error) { world.Complain(name, err) }
	}
	switch set.Type {
	case "inline":
		t, err = lookup.NewInline(set.Entries)
	case "file":
		t = lookup.OpenText(o)
	case "regexp":
		t = lookup.OpenRegexps(o)
	case "cidr":
		t = lookup.OpenNetworks(o)
	case "cdb":
		t = cdb.OpenTable(o)
	case "passwd":
		if o.Path = world.Passwd; o.Path == "" {
			o.Path = "/etc/passwd"
		}
		t, err = lookup.OpenPasswd(o, set.Attributes)
	case "sqlite", "pgsql", "mysql":
		t, err = sqltable.Open(set)
		isServer = true
	case "ldap":
		t, err = ldaptable.Open(set)
		isServer = true
	case "redis":
		t, err = redistable.Open(set)
		isServer = true
	case "socketmap":
		t, err = socketmap.Open(set)
		isServer = true
	default:
		err = fmt.Errorf("there is no type %q", set.Type)
	}
	return t, isServer, err
}
