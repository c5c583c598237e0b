package script

import (
	"github.com/rogpeppe/go-internal/testscript"

	"filbert/pkg/resolve/resolvetest"
)

func dnsCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "dns FILE")
	w, zone := worldOf(ts), read(ts, args[0])
	if w.dns != nil {
		ts.Check(w.dns.SetZone(zone))
		return
	}
	s, err := resolvetest.Start("127.0.0.1:0", zone)
	ts.Check(err)
	w.dns = s
	ts.Setenv("DNS", s.Addr().String())
}
