package mtactl

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/quirk"
	"filbert/pkg/untrusted"
)

// quirky serves the quirk of one server, 192.0.2.1:25.
func quirky(t *testing.T) string {
	f := new(quirk.Facts)
	f.Learn(&quirk.Seen{EHLO: quirk.Mark{How: quirk.HowRefused, Code: 502, Text: untrusted.From("5.5.1 what?\x1b")}}, "mx.far.test", time.Now())
	return remembers(t, map[string]http.HandlerFunc{
		"GET /v1/memory": func(w http.ResponseWriter, r *http.Request) {
			page := proto.MemoryPage{Records: []proto.MemoryItem{}}
			if v := r.URL.Query(); v.Get("kind") == "quirk" && strings.HasPrefix("192.0.2.1:25", v.Get("prefix")) {
				page.Records = append(page.Records, proto.MemoryItem{Kind: "quirk", Key: "192.0.2.1:25", Kept: time.Now(), Value: f.Marshal()})
			}
			_ = json.NewEncoder(w).Encode(&page)
		},
	})
}

func TestFactsAreToldApartFromConclusions(t *testing.T) {
	dir := quirky(t)
	for _, host := range []string{"192.0.2.1", "MX.far.test"} {
		code, out, err := ran(t, dir, "memory", "host", host)
		if code != 0 {
			t.Fatalf("%s: %d %s", host, code, err)
		}
		for _, want := range []string{"\n  is mx.far.test\n", "\n  EHLO was refused at ", ": 502 5.5.1 what?", "\n  -> is greeted with HELO until ", "because EHLO was answered with 502"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", host, want, out)
			}
		}
		if strings.Contains(out, "\x1b") {
			t.Errorf("%q", out)
		}
	}
	if code, _, _ := ran(t, dir, "memory", "host", "far.test"); code != exFindings {
		t.Errorf("another name: %d", code)
	}
}

func TestFactsAndConclusionsAreJSON(t *testing.T) {
	_, out, _ := ran(t, quirky(t), "memory", "host", "192.0.2.1", "--json")
	var list []remembered
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	if r := &list[0]; r.Name != "mx.far.test" || len(r.Facts) < 3 || len(r.Conclusions) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestNamesAreToldFromAddresses(t *testing.T) {
	for s, want := range map[string]bool{
		"192.0.2.1": false, "192.0.2.": false, "192.0.2.1:25": false, "2001:db8::1": false, "[2001:db8::1]:25": false,
		"[::1": false, "transport lmtp": false, "mx.example.net": true, "3com.example": true,
	} {
		if isServerName(s) != want {
			t.Errorf("%q", s)
		}
	}
}
