package ldaptable

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"go.uber.org/goleak"

	"filbert/pkg/lookup"
	"filbert/pkg/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var good = settings.Lookup{Type: "ldap", Servers: []string{"ldap.example"}, Base: "ou={domain},dc=example",
	Query: "(&(mail={key})(!(uid={local_part}x)))", Attributes: []string{"mail"}}

func TestKeysAreEscaped(t *testing.T) {
	opened, err := Open(good)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	for _, c := range []struct{ key, base, filter string }{
		{"joe@a.org", "ou=a.org,dc=example", "(&(mail=joe@a.org)(!(uid=joex)))"},
		{"*)(uid=*@a,ou=b+c", `ou=a\,ou=b\+c,dc=example`, `(&(mail=\2a\29\28uid=\2a@a,ou=b+c)(!(uid=\2a\29\28uid=\2ax)))`},
		{`a\2a@#x`, `ou=\#x,dc=example`, `(&(mail=a\5c2a@#x)(!(uid=a\5c2ax)))`},
		{"ö@ö", "ou=ö,dc=example", `(&(mail=\c3\b6@\c3\b6)(!(uid=\c3\b6x)))`},
	} {
		s, _ := lookup.SubjectOf(c.key)
		base, filter, ok := opened.(*table).fill(s)
		if base != c.base || filter != c.filter || !ok {
			t.Errorf("%q: got %s %s, %v", c.key, base, filter, ok)
		}
	}
	s, _ := lookup.SubjectOf("joe")
	if _, _, ok := opened.(*table).fill(s); ok {
		t.Error("a key without a domain has one")
	}
}

func TestOpenRefusesWhatIsWrong(t *testing.T) {
	for want, change := range map[string]func(*settings.Lookup){
		"behind a =":          func(s *settings.Lookup) { s.Query = "({key}=x)" },
		"base: a {key}":       func(s *settings.Lookup) { s.Base = "{key},dc=example" },
		"no {key}":            func(s *settings.Lookup) { s.Base, s.Query = "dc=example", "(mail=x)" },
		"the filter (mail={k": func(s *settings.Lookup) { s.Query = "(mail={key}" },
		"the base x":          func(s *settings.Lookup) { s.Base = "x" },
		"{user}":              func(s *settings.Lookup) { s.Query = "(mail={user})" },
		"password_file":       func(s *settings.Lookup) { s.Username = "cn=x" },
		"scope":               func(s *settings.Lookup) { s.Scope = "all" },
		"ldaps://":            func(s *settings.Lookup) { s.Servers, s.TLS = []string{"ldap://x"}, "on" },
	} {
		set := good
		change(&set)
		if _, err := Open(set); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestValuesOfEntriesInOrder(t *testing.T) {
	mail := question{attributes: []string{"mail"}}
	entry := func(name string, values ...string) *ldap.Entry {
		return &ldap.Entry{Attributes: []*ldap.EntryAttribute{{Name: name, Values: values}}}
	}
	a, err := answer(&ldap.SearchResult{Entries: []*ldap.Entry{entry("Mail", "b", "a"), entry("other", "x"), entry("mail", "c")}}, mail)
	if err != nil || !a.Found || strings.Join(a.Values, " ") != "b a c" {
		t.Errorf("got %+v, %v", a, err)
	}
	a, err = answer(&ldap.SearchResult{Entries: []*ldap.Entry{entry("other", "x")}}, mail)
	if err != nil || !a.Found || len(a.Values) > 0 {
		t.Errorf("an entry without it: got %+v, %v", a, err)
	}
	if a, err := answer(&ldap.SearchResult{}, question{}); err != nil || a.Found {
		t.Errorf("no entry: got %+v, %v", a, err)
	}
	if _, err := answer(&ldap.SearchResult{Entries: []*ldap.Entry{entry("mail", "\xff")}}, mail); !errors.Is(err, lookup.ErrUnusable) {
		t.Errorf("got %v", err)
	}
}

// RFC 4511, section 4.5.3: who is sent on has not been told that there is nothing, and
// not all there is either.
func TestAReferralIsNoAnswer(t *testing.T) {
	onward := []string{"ldap://other.example/ou=sales,dc=example??sub"}
	some := []*ldap.Entry{{Attributes: []*ldap.EntryAttribute{{Name: "mail", Values: []string{"b"}}}}}
	for _, entries := range [][]*ldap.Entry{nil, some} {
		result := &ldap.SearchResult{Entries: entries, Referrals: onward}
		if a, err := answer(result, question{attributes: []string{"mail"}}); !errors.Is(err, errElsewhere) {
			t.Errorf("%d entries: got %+v, %v", len(entries), a, err)
		}
		a, err := answer(result, question{attributes: []string{"mail"}, leaveOut: true})
		if err != nil || a.Found != (len(entries) > 0) {
			t.Errorf("%d entries, the rest is not wanted: got %+v, %v", len(entries), a, err)
		}
	}
}

// A server that says nothing, hangs up, or speaks something else must neither
// hold the question nor look like "not found".
func TestAServerThatIsNoneIsAnError(t *testing.T) {
	for name, serve := range map[string]func(net.Conn, context.CancelFunc){
		"hangs up":       func(c net.Conn, _ context.CancelFunc) { c.Close() },
		"something else": func(c net.Conn, _ context.CancelFunc) { _, _ = c.Write([]byte("220 hello\r\n")); c.Close() },
		"an endless one": func(c net.Conn, _ context.CancelFunc) {
			_, _ = c.Write([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x02, 0x01, 0x01})
			c.Close()
		},
		"nothing": func(c net.Conn, leave context.CancelFunc) {
			_, _ = c.Read(make([]byte, 1))
			leave()
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					defer c.Close()
					serve(c, cancel)
				}
			}()
			set := good
			set.Servers = []string{"ldapi://" + path}
			table, err := Open(set)
			if err != nil {
				t.Fatal(err)
			}
			if a, err := table.Find(ctx, "joe@a.org"); err == nil {
				t.Errorf("got %+v", a)
			}
			table.Close()
			l.Close()
			<-done
		})
	}
}
