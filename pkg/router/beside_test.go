package router

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

func TestBesideTheSuiteAddressesAreRoutedByOtherSettings(t *testing.T) {
	s := settings.Default()
	s.Hostname, s.Domains.Local = "mail.test", []string{"home.test"}
	s.DNS.Servers = []string{"127.0.0.1:9"}
	s.Transports = settings.DefaultTransports()
	s.Lookups = map[string]settings.Lookup{"people": {Type: "inline", Entries: map[string]string{"eve": "daemon:/home/eve"}}}
	s.Directors = []settings.Director{
		{Name: "forward", Driver: "forwardfile", File: ".forward", Lookup: "people"},
		{Name: "all", Driver: "accept", Transport: "maildir"},
	}
	s.Routers = []settings.Router{{Name: "hub", Driver: "smarthost", Hosts: []string{"[192.0.2.1]:25"}, Transport: "smtp"}}
	words, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(q proto.BesideQuery) (string, error) {
		question, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err = Beside(bytes.NewReader(question), &out)
		return out.String(), err
	}
	got, err := ask(proto.BesideQuery{Settings: words, Queries: []proto.ExplainQuery{{Address: "bob@far.test"}, {Address: "no address"}, {Address: "ann@home.test"}}})
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if err != nil || len(lines) != 3 {
		t.Fatalf("%v: %s", err, got)
	}
	for i, want := range []string{`"by":"hub"`, `"leaves":null`, `"by":"all"`} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("no %s in %s", want, lines[i])
		}
	}
	if got, err := ask(proto.BesideQuery{Settings: words, Queries: []proto.ExplainQuery{{Address: "eve@home.test"}}}); err != nil || !strings.Contains(got, `"deferred"`) {
		t.Errorf("a forward file, which only the suite reads: %v, %s", err, got)
	}
	if _, err := ask(proto.BesideQuery{Settings: words, Queries: make([]proto.ExplainQuery, proto.MaxBeside+1)}); err == nil {
		t.Error("too many were taken")
	}
	if _, err := ask(proto.BesideQuery{Settings: []byte(`{"dns":{"servers":["x"]}}`)}); err == nil {
		t.Error("settings with a mistake were taken")
	}
}
