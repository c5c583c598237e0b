//go:build interop

package lookups

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"filbert/pkg/event"
	"filbert/pkg/ldaptable"
	"filbert/pkg/lookup"
	"filbert/pkg/privsep"
	"filbert/pkg/redistable"
	"filbert/pkg/router"
	"filbert/pkg/service"
	"filbert/pkg/settings"
	"filbert/pkg/sqltable"
)

// answers are what every server has: by key, the values.
var answers = map[string][]string{
	"joe@a.org":    {"x@b.org"},
	"many@a.org":   {"1@b.org", "2@b.org", "3@b.org"},
	"jürgen@a.org": {"zoë@b.org"},
	"o'neil@a.org": {"o'neil@b.org"},
}

// strangers are keys that no server has, written to get at others.
var strangers = []string{
	"nobody@a.org", "x' or '1'='1", `x" or "1"="1`, `\' or 1=1 -- `, "'; drop table aliases; --", "$1", "?", "%", "_oe@a.org",
	"*", "*)(mail=*", "joe@a.org)(|(mail=*", `\2a`, "j*", "joe@a.org\r\nDEL alias:joe@a.org", "joe@a.org\x00", "\xff", "{key}",
	strings.Repeat("x", 990) + "@a.org",
}

func open(set settings.Lookup) (lookup.Table, error) {
	switch set.Type {
	case "ldap":
		return ldaptable.Open(set)
	case "redis":
		return redistable.Open(set)
	}
	return sqltable.Open(set)
}

func opened(t *testing.T, set settings.Lookup) lookup.Table {
	t.Helper()
	table, err := open(set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	return table
}

// gives asks for everything, by many at once.
func gives(t *testing.T, set settings.Lookup) {
	t.Helper()
	table := opened(t, set)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for key, want := range answers {
				wants(t, table, key, true, want...)
			}
			for _, key := range strangers {
				wants(t, table, key, false)
			}
		})
	}
	wg.Wait()
}

func wants(t *testing.T, table lookup.Table, key string, found bool, values ...string) {
	t.Helper()
	a, err := table.Find(context.Background(), key)
	if err != nil || a.Found != found || !slices.Equal(a.Values, values) {
		t.Errorf("%q: got %+v, %v, want %v %q", key, a, err, found, values)
	}
}

// fails wants an error, which tells no secret.
func fails(t *testing.T, set settings.Lookup, want string) {
	t.Helper()
	a, err := opened(t, set).Find(context.Background(), "joe@a.org")
	if err == nil || !strings.Contains(err.Error(), want) || set.Password != "" && strings.Contains(err.Error(), set.Password) {
		t.Errorf("got %+v, %v, want an error with %q", a, err, want)
	}
}

// outlives ends the server under an open table, and starts it again.
func outlives(t *testing.T, s *server, set settings.Lookup) {
	t.Helper()
	table := opened(t, set)
	wants(t, table, "joe@a.org", true, "x@b.org")
	s.stop()
	for range 6 { // more than there are connections
		if a, err := table.Find(context.Background(), "joe@a.org"); err == nil {
			t.Errorf("without a server: got %+v", a)
		}
	}
	s.start(t)
	eventually(t, "ask the server that is back", func() error {
		a, err := table.Find(context.Background(), "joe@a.org")
		if err == nil && !a.Found {
			return errors.New("not found")
		}
		return err
	})
	for range 6 {
		wants(t, table, "many@a.org", true, answers["many@a.org"]...)
	}
}

// confinedEnv makes the test binary a process that is confined as router is.
// Its value is the settings.
const confinedEnv = "FILBERT_TEST_CONFINED_LOOKUPS"

func TestMain(m *testing.M) {
	if text := os.Getenv(confinedEnv); text != "" {
		if err := askConfined(text); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func askConfined(text string) error {
	var s settings.Settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	p := service.New(service.Wiring{Settings: &s, Log: event.Stderr("router")})
	tables := map[string]lookup.Table{}
	for name, set := range s.Lookups {
		var err error
		if tables[name], err = open(set); err != nil {
			return err
		}
	}
	spec := router.New(router.World{Servers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")}}).Confinement(p)
	if _, err := privsep.Confine(spec); err != nil {
		return err
	}
	if err := privsep.Assert(spec); err != nil {
		return err
	}
	for name, table := range tables {
		a, err := table.Find(context.Background(), "joe@a.org")
		if err == nil {
			_, err = table.Find(context.Background(), "nobody@a.org")
		}
		fmt.Println(name, a.Values, err)
	}
	return nil
}

// worksConfined asks from a process that may do what router may, and no more.
func worksConfined(t *testing.T, sets map[string]settings.Lookup) {
	t.Helper()
	text, err := json.Marshal(settings.Settings{Lookups: sets})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), confinedEnv+"="+string(text))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("confined: %v", err)
	}
	got := map[string]bool{}
	for in := bufio.NewScanner(bytes.NewReader(out)); in.Scan(); {
		got[in.Text()] = true
	}
	for name := range sets {
		if !got[name+" [x@b.org] <nil>"] {
			t.Errorf("confined, %s: got\n%s", name, out)
		}
	}
}
