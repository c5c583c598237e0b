package lookup

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"filbert/pkg/settings"
)

func TestServersAreRead(t *testing.T) {
	for _, c := range []struct {
		kind, tls, name string
		network, addr   string
		security        Security
	}{
		{"pgsql", "", "db", "tcp", "db:5432", Plain},
		{"pgsql", "on", "db:5433", "tcp", "db:5433", InBand},
		{"pgsql", "on", "/run/postgresql", "unix", "/run/postgresql/.s.PGSQL.5432", Plain},
		{"pgsql", "", "/run/p/.s.PGSQL.6432", "unix", "/run/p/.s.PGSQL.6432", Plain},
		{"mysql", "starttls", "::1", "tcp", "[::1]:3306", InBand},
		{"mysql", "", "[::1]:1", "tcp", "[::1]:1", Plain},
		{"redis", "on", "[2001:db8::1]", "tcp", "[2001:db8::1]:6379", Wrapped},
		{"redis", "", "/run/redis.sock", "unix", "/run/redis.sock", Plain},
		{"ldap", "", "ldap.example", "tcp", "ldap.example:389", Plain},
		{"ldap", "on", "ldap.example", "tcp", "ldap.example:636", Wrapped},
		{"ldap", "", "ldaps://ldap.example/", "tcp", "ldap.example:636", Wrapped},
		{"ldap", "starttls", "ldap://ldap.example:1389", "tcp", "ldap.example:1389", InBand},
		{"ldap", "", "ldapi:///run/ldapi", "unix", "/run/ldapi", Plain},
		{"ldap", "", "ldapi://%2Frun%2Fldapi", "unix", "/run/ldapi", Plain},
		{"socketmap", "", "127.0.0.1:9000", "tcp", "127.0.0.1:9000", Plain},
	} {
		list, err := Servers(settings.Lookup{Type: c.kind, TLS: c.tls, Servers: []string{c.name}})
		if err != nil {
			t.Errorf("%s %s: %v", c.kind, c.name, err)
			continue
		}
		if s := list[0]; s.Network != c.network || s.Address != c.addr || s.TLS != c.security || s.Name != c.name {
			t.Errorf("%s %s: got %+v", c.kind, c.name, s)
		}
	}
}

func TestServersThatAreNoneAreRefused(t *testing.T) {
	for _, c := range [][3]string{
		{"socketmap", "", "host"}, {"pgsql", "", "host:0"}, {"pgsql", "", "host:x"}, {"pgsql", "", "a:b:c"},
		{"pgsql", "", ""}, {"pgsql", "", "user@host"}, {"redis", "", "redis://host"}, {"redis", "starttls", "host"},
		{"ldap", "on", "ldap://host"}, {"ldap", "", "http://host"}, {"ldap", "", "ldapi://x"}, {"ldap", "", "ldap://host/dc=x"},
		{"mysql", "maybe", "host"}, {"mysql", "", "host:70000"},
	} {
		if list, err := Servers(settings.Lookup{Type: c[0], TLS: c[1], Servers: []string{c[2]}}); err == nil {
			t.Errorf("%q: got %+v", c, list)
		}
	}
	if _, err := Servers(settings.Lookup{Type: "redis"}); err == nil {
		t.Error("no server was enough")
	}
}

func TestNeedsNamesPortsSocketsAndFiles(t *testing.T) {
	ports, sockets, files := Needs(settings.Lookup{Type: "ldap", CAFile: "/ca", Servers: []string{"a", "b", "ldaps://c", "ldapi:///s"}})
	if !slices.Equal(ports, []uint16{389, 636}) || !slices.Equal(sockets, []string{"/s"}) || !slices.Equal(files, []string{"/ca"}) {
		t.Errorf("got %v %v %v", ports, sockets, files)
	}
	ports, sockets, files = Needs(settings.Lookup{Type: "sqlite", Path: "/db"})
	if ports != nil || sockets != nil || !slices.Equal(files, []string{"/db"}) {
		t.Errorf("got %v %v %v", ports, sockets, files)
	}
}

func TestQuestionsAreFilled(t *testing.T) {
	escape := func(s string) string { return "<" + s + ">" }
	for _, c := range []struct{ query, key, want string }{
		{"alias:{key}", "a@b", "alias:<a@b>"},
		{"{local_part}/{domain}", "a@b@c", "<a@b>/<c>"},
		{"{local_part}", "a", "<a>"},
		{"{}{key}{A}", "k", "{}<k>{A}"},
	} {
		q, err := ParseQuestion(c.query)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := SubjectOf(c.key)
		if got, ok := q.Fill(s, escape); got != c.want || !ok || !q.Asks() {
			t.Errorf("%s of %s: got %s, %v", c.query, c.key, got, ok)
		}
	}
	q, _ := ParseQuestion("{domain}")
	for _, key := range []string{"name", "name@"} {
		s, _ := SubjectOf(key)
		if got, ok := q.Fill(s, escape); ok {
			t.Errorf("the domain of %s is %s", key, got)
		}
	}
	if _, err := ParseQuestion("{user}"); err == nil {
		t.Error("{user} was taken")
	}
	for _, key := range []string{"", strings.Repeat("k", MaxKey+1), "a\x00", "\xff"} {
		if _, ok := SubjectOf(key); ok {
			t.Errorf("%q was taken for a key", key)
		}
	}
}

func TestAServerThatFailedIsAskedLastForAWhile(t *testing.T) {
	f := NewFailover([]Server{{Name: "a"}, {Name: "b"}}, time.Minute)
	var asked []int
	down := true
	ask := func(_ context.Context, i int) error {
		asked = append(asked, i)
		if i == 0 && down {
			return errors.New("down")
		}
		return nil
	}
	for range 2 {
		if err := f.Ask(context.Background(), ask); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(asked, []int{0, 1, 1}) {
		t.Errorf("asked %v", asked)
	}
	if got := f.order(time.Now().Add(restFor)); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("later the order is %v", got)
	}
}

func TestTheErrorIsThatOfAllServers(t *testing.T) {
	f := NewFailover([]Server{{Name: "one"}, {Name: "two"}}, time.Minute)
	err := f.Ask(context.Background(), func(context.Context, int) error { return errors.New("down") })
	if err == nil || err.Error() != "ask one: down\nask two: down" {
		t.Errorf("got %v", err)
	}
}

// connections counts those of a pool.
type connections struct{ made, ended int }

func (c *connections) pool(most int) *Pool[int] {
	return NewPool(most, func(context.Context) (int, error) { c.made++; return c.made, nil }, func(int) { c.ended++ })
}

func TestAnOldConnectionThatBrokeIsReplacedOnce(t *testing.T) {
	var c connections
	p := c.pool(1)
	use := func(context.Context, int) error { return nil }
	for range 3 {
		if err := p.Do(context.Background(), use); err != nil {
			t.Fatal(err)
		}
	}
	if c.made != 1 {
		t.Fatalf("%d connections were made", c.made)
	}
	calls := 0
	err := p.Do(context.Background(), func(_ context.Context, n int) error {
		if calls++; n == 1 {
			return ErrBroken
		}
		return nil
	})
	if err != nil || calls != 2 || c.made != 2 || c.ended != 1 {
		t.Errorf("%v, %d calls, %+v", err, calls, c)
	}
	calls = 0
	err = p.Do(context.Background(), func(context.Context, int) error { calls++; return ErrBroken })
	if !errors.Is(err, ErrBroken) || calls != 2 || c.made != 3 || c.ended != 3 {
		t.Errorf("a new one that breaks too: %v, %d calls, %+v", err, calls, c)
	}
	calls = 0
	err = p.Do(context.Background(), func(context.Context, int) error { calls++; return ErrBroken })
	if !errors.Is(err, ErrBroken) || calls != 1 {
		t.Errorf("a new one is not tried twice: %v, %d calls", err, calls)
	}
}

func TestWaitingForAConnectionEnds(t *testing.T) {
	var c connections
	p := c.pool(1)
	ctx, cancel := context.WithCancel(context.Background())
	err := p.Do(context.Background(), func(context.Context, int) error {
		cancel()
		return p.Do(ctx, func(context.Context, int) error { return nil })
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAConnectionOfAMinuteIsNotUsed(t *testing.T) {
	var c connections
	p := c.pool(2)
	if err := p.Do(context.Background(), func(context.Context, int) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, ok := p.take(time.Now().Add(2 * idleFor)); ok || c.ended != 1 {
		t.Errorf("it is still used; %+v", c)
	}
	p.Close()
}
