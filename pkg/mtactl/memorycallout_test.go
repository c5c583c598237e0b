package mtactl

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"filbert/pkg/callout"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

// askedOf serves what was said of nobody@far.test, of other@far.test, and of all of all.test.
func askedOf(t *testing.T, orders *[]proto.MemoryForget) string {
	now := time.Now()
	say := func(local, domain string, o outcome.Outcome) proto.MemoryItem {
		r := &callout.Record{Local: local, Domain: domain, Transport: "smtp", Servers: "mx." + domain + ":25", Asked: now, Expires: now.Add(time.Hour), Outcome: o}
		r.AcceptsAll = local == "" && domain == "all.test"
		return proto.MemoryItem{Kind: "callout", Key: r.Key(), Kept: now, Value: r.Marshal()}
	}
	yes := outcome.Outcome{Class: outcome.Delivered, Remote: "host.test"}
	no := outcome.Outcome{Class: outcome.Failed, Code: 550, Text: untrusted.From("5.1.1 who?\x1b"), Remote: "mx.far.test"}
	items := []proto.MemoryItem{say("nobody", "far.test", no), say("other", "far.test", yes), say("", "far.test", yes), say("", "all.test", yes)}
	return remembers(t, map[string]http.HandlerFunc{
		"GET /v1/memory": func(w http.ResponseWriter, r *http.Request) {
			page := proto.MemoryPage{Records: []proto.MemoryItem{}}
			for _, x := range items {
				if v := r.URL.Query(); v.Get("kind") == "callout" && strings.HasPrefix(x.Key, v.Get("prefix")) {
					page.Records = append(page.Records, x)
				}
			}
			_ = json.NewEncoder(w).Encode(&page)
		},
		"POST /v1/memory/forget": func(w http.ResponseWriter, r *http.Request) {
			var m proto.MemoryForget
			_ = json.NewDecoder(r.Body).Decode(&m)
			*orders = append(*orders, m)
			_ = json.NewEncoder(w).Encode(&proto.MemoryForgotten{Count: 1})
		},
	})
}

func TestCallOutsOfAnAddressAreToldWithThoseOfItsDomain(t *testing.T) {
	dir := askedOf(t, nil)
	for addr, wants := range map[string][]string{
		"<nobody@FAR.test>": {"mx.far.test refused it at ", ": 550 5.1.1 who?", "-> is no good address", "-> is asked about addresses alone"},
		"other@far.test":    {"would have taken mail for it at ", "-> is good, and the server is not asked again, until "},
		"any@all.test":      {"would have taken mail for an address that nobody can have", "-> is not asked about any address until "},
	} {
		code, out, err := ran(t, dir, "memory", "address", addr)
		if code != 0 {
			t.Errorf("%s: %d %s", addr, code, err)
		}
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", addr, want, out)
			}
		}
		if strings.Contains(out, "other@") != strings.HasPrefix(addr, "other@") || strings.Contains(out, "\x1b") {
			t.Errorf("%s: %q", addr, out)
		}
	}
}

func TestCallOutsAreForgottenByAddressDomainOrKey(t *testing.T) {
	var orders []proto.MemoryForget
	dir := askedOf(t, &orders)
	for _, c := range []struct {
		args []string
		want proto.MemoryForget
	}{
		{[]string{"bob@Far.test"}, proto.MemoryForget{Kind: "callout", Key: "far.test bob@far.test ", Prefix: true}},
		{[]string{"Far.test"}, proto.MemoryForget{Kind: "callout", Key: "far.test ", Prefix: true}},
		{[]string{"far", "--prefix"}, proto.MemoryForget{Kind: "callout", Key: "far", Prefix: true}},
		{[]string{"far.test smtp mx:25"}, proto.MemoryForget{Kind: "callout", Key: "far.test smtp mx:25"}},
	} {
		ran(t, dir, append([]string{"memory", "forget", "callout"}, c.args...)...)
		if n := len(orders); n == 0 || orders[n-1] != c.want {
			t.Errorf("%v: %+v", c.args, orders)
		}
	}
	ran(t, dir, "memory", "forget", "address", "bob@far.test")
	if got := orders[len(orders)-1]; got != (proto.MemoryForget{Kind: "address", Key: "bob@far.test"}) {
		t.Errorf("another kind: %+v", got)
	}
}
