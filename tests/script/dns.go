package script

import (
	"github.com/rogpeppe/go-internal/testscript"

	"filbert/pkg/resolve/resolvetest"
)

// startDNS starts the script's name server. It always runs, so that no instance
// asks another: without a zone no name exists.
func (w *world) startDNS() (string, error) {
	s, err := resolvetest.Start("127.0.0.1:0", "")
	if err != nil {
		return "", err
	}
	w.dns = s
	return s.Addr().String(), nil
}

func dnsCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "dns FILE")
	ts.Check(worldOf(ts).dns.SetZone(read(ts, args[0])))
}
