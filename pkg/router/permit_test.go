package router

import (
	"testing"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

func TestProgramsMayAskTheLookupsOfTheirSettings(t *testing.T) {
	s := settings.Default()
	s.Domains.Local = []string{"lookup:local", "example.org"}
	s.Domains.Relay = []string{"!lookup:not-relayed", "*"}
	s.Listen = []settings.Listen{{Trusted: []string{"lookup:staff"}}}
	s.Rewrites = []settings.Rewrite{
		{Match: "lookup:match", To: "{lookup:locals:1}@{lookup:domains:2}"},
		{Match: "*", To: "*@x", Clients: []string{"lookup:clients"}},
	}
	s.Directors = []settings.Director{{Conditions: settings.Conditions{Domains: []string{"lookup:director"}}}}
	s.Retry = []settings.Retry{{Match: []string{"lookup:patience"}, Senders: []string{"!lookup:hurry", "*"}}}
	rules := []string{"match", "locals", "domains", "clients"}
	taken := []string{"local", "not-relayed", "staff"}
	all := append(append([]string{"director", "loc", "relay", "patience", "hurry"}, rules...), taken...)
	may := map[proto.Service]map[string]bool{proto.Master: {}, proto.SMTPD: {}, proto.Cleanup: {}, proto.SMTPClient: {}, proto.Dispatch: {}}
	for _, name := range all {
		may[proto.Master][name] = true
	}
	for _, name := range rules {
		may[proto.SMTPD][name], may[proto.Cleanup][name], may[proto.SMTPClient][name] = true, true, true
	}
	for _, name := range taken {
		may[proto.SMTPD][name] = true
	}
	may[proto.Dispatch]["patience"], may[proto.Dispatch]["hurry"] = true, true
	for caller, names := range may {
		for _, name := range all {
			if got := permitted(s, caller, name); got != names[name] {
				t.Errorf("%s may ask %s: %t, want %t", caller, name, got, names[name])
			}
		}
	}
	s.Domains.Syntax = []string{"percent"}
	if !permitted(s, proto.Cleanup, "local") || permitted(s, proto.Cleanup, "staff") || permitted(s, proto.SMTPClient, "local") {
		t.Error("cleanup has to know which domains are ours, and nothing more")
	}
}
