package router_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/resolve/resolvetest"
	"filbert/pkg/router"
	"filbert/pkg/service"
	"filbert/pkg/service/servicetest"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

const passwd = `root:x:0:0:root:/root:/bin/sh
alice:x:1000:100::/home/alice:/bin/sh
bob:x:1001:100::/home/bob:/bin/sh
carol:x:1002:100::/home/carol:/bin/sh
dave+x:x:1003:100::/home/dave:/bin/sh
dave:x:1004:100::/home/dave2:/bin/sh
`

// lab is a router with its surroundings.
type lab struct {
	t      testing.TB
	dir    string
	set    *settings.Settings
	dns    *resolvetest.Server
	now    time.Time
	mu     sync.Mutex
	tables fakeTables
	agents *fakeAgents
	// told is what the administrator was told.
	told []string

	daemon  *router.Router
	suite   *servicetest.Suite
	process *service.Process
	client  *ipc.Client
}

func (l *lab) reload(s *settings.Settings) { l.process.Reload(s) }

// newLab prepares the usual set-up: aliases, the users of a password file,
// literals and MX. files are written into the instance's etc.
func newLab(t testing.TB, zone string, files map[string]string) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir(), set: settings.Default(), now: time.Now().Add(time.Hour)}
	var err error
	if l.dns, err = resolvetest.Start("127.0.0.1:0", zone); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.dns.Close)
	l.write("passwd", passwd)
	for name, text := range files {
		l.write(name, text)
	}
	s := l.set
	s.Hostname = "mail.example.org"
	s.Domains.Local = []string{"example.org", "*.example.org"}
	s.Instance = settings.Instance{Etc: l.dir, Mail: "/mail", Private: true}
	s.DNS.Servers = []string{l.dns.Addr().String()}
	s.DNS.Timeout = settings.Duration(50 * time.Millisecond)
	s.DNS.Deadline = settings.Duration(time.Second)
	s.Listen = []settings.Listen{{Address: "127.0.0.1:2525"}}
	s.Transports = settings.DefaultTransports()
	s.Routers = settings.DefaultRouters()
	s.Directors = []settings.Director{
		{Name: "aliases", Driver: "aliasfile", File: filepath.Join(l.dir, "aliases"), Optional: true, Separator: "+",
			AllowPipes: true, AllowFiles: true, PipeTransport: "pipe", FileTransport: "file"},
		{Name: "users", Driver: "user", Users: "system", Transport: "maildir", Separator: "+"},
	}
	return l
}

func (l *lab) write(name, text string) {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		l.t.Fatal(err)
	}
}

// start runs the daemon.
func (l *lab) start() *lab {
	l.t.Helper()
	l.suite = servicetest.New(l.t, l.set, nil)
	w := router.World{
		Passwd: filepath.Join(l.dir, "passwd"),
		Addrs:  []netip.Addr{netip.MustParseAddr("192.0.2.99"), netip.MustParseAddr("127.0.0.1")},
		Now: func() time.Time {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.now
		},
		Chance: still{},
		Tell: func(doing string, err error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.told = append(l.told, doing+": "+err.Error())
		},
	}
	if l.tables != nil {
		w.Tables = l.tables
	}
	if l.agents != nil {
		w.Agents = l.agents
	}
	l.daemon = router.New(w)
	l.process = l.suite.Start(proto.Router, l.daemon)
	l.client = l.suite.Client(string(proto.Dispatch), proto.Router, ipc.ClientOptions{})
	return l
}

// still is chance that changes nothing.
type still struct{}

func (still) Shuffle(int, func(i, j int)) {}

func (l *lab) wait(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(d)
}

func (l *lab) warnings() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.told, "\n")
}

// ask sends a query as dispatch does, over the arrow.
func (l *lab) ask(m *proto.RouteQuery) *proto.RouteAnswer {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var a proto.RouteAnswer
	if err := l.client.Call(ctx, m, &a); err != nil {
		l.t.Fatal(err)
	}
	return &a
}

func to(addrs ...string) *proto.RouteQuery {
	m := &proto.RouteQuery{Sender: mailaddr.MustParse("sender@elsewhere.example")}
	for _, a := range addrs {
		m.Recipients = append(m.Recipients, envelope.Recipient{Address: mailaddr.MustParse(a)})
	}
	return m
}

// show gives a leaf in one line.
func show(l proto.Leaf) string {
	r := &l.Recipient
	s := r.Address.String()
	if s == "" {
		s = "<>"
	}
	switch r.Kind {
	case envelope.TargetPipe:
		s = "|" + r.Target
	case envelope.TargetFile:
		s = r.Target
	}
	if l.Verdict.Class != 0 {
		return fmt.Sprintf("%s %s %s %s", s, l.Verdict.Class, l.Verdict.Status, l.Verdict.Kind)
	}
	s += " " + l.Transport
	if l.User != nil {
		s += " " + l.User.Name
	}
	if r.User != "" {
		s += " as " + r.User
	}
	if l.Detail != "" {
		s += " detail " + l.Detail
	}
	if l.NextHop != "" {
		s += " via " + l.NextHop + ":"
	}
	for _, h := range l.Hosts {
		s += " " + h.Name + "/" + h.Addr.String()
	}
	if r.ErrorsTo != nil {
		s += " errors " + r.ErrorsTo.String()
	}
	return s
}

func shows(a *proto.RouteAnswer) string {
	var lines []string
	for _, l := range a.Leaves {
		lines = append(lines, strings.TrimSpace(show(l)))
	}
	return strings.Join(lines, "\n")
}

// expect asks for each address alone and compares; lines are joined by "; ".
func (l *lab) expect(cases [][2]string) {
	l.t.Helper()
	for _, c := range cases {
		got := strings.ReplaceAll(shows(l.ask(to(c[0]))), "\n", "; ")
		if got != c[1] {
			l.t.Errorf("%s:\n got %s\nwant %s", c[0], got, c[1])
		}
	}
}

func TestUsersOfTheSystem(t *testing.T) {
	newLab(t, "", nil).start().expect([][2]string{
		{"alice@example.org", "alice@example.org maildir alice"},
		{"Alice@sub.example.org", "Alice@sub.example.org maildir alice"},
		{"alice+lists@example.org", "alice+lists@example.org maildir alice detail lists"},
		{"alice+a+b@example.org", "alice+a+b@example.org maildir alice detail a+b"},
		{"alice+@example.org", "alice+@example.org maildir alice"},
		{"dave+x@example.org", "dave+x@example.org maildir dave+x"},
		{"dave+y@example.org", "dave+y@example.org maildir dave detail y"},
		{"+x@example.org", "+x@example.org failed 5.1.1 unknown-user"},
		{"nobody@example.org", "nobody@example.org failed 5.1.1 unknown-user"},
		{"alice", "alice maildir alice"},
		{`"al ice"@example.org`, `"al ice"@example.org failed 5.1.1 unknown-user`},
		{`"../../etc/passwd"@example.org`, `"../../etc/passwd"@example.org failed 5.1.1 unknown-user`},
	})
}

func TestUserCarriesItsAccount(t *testing.T) {
	a := newLab(t, "", nil).start().ask(to("bob@example.org"))
	if diff := cmp.Diff(&proto.User{Name: "bob", UID: 1001, GID: 100, Home: "/home/bob"}, a.Leaves[0].User); diff != "" {
		t.Error(diff)
	}
	if a.Leaves[0].By != "users" || a.Leaves[0].Expanded {
		t.Errorf("got %+v", a.Leaves[0])
	}
}

func TestAliases(t *testing.T) {
	newLab(t, "remote.example. MX 10 mx.remote.example.\nmx.remote.example. A 192.0.2.1\n", map[string]string{"aliases": `
one: alice
two: alice, bob
nested: two, carol
both: bob, both@remote.example
away: x@remote.example, y@remote.example
bob: bob, carol
only@sub.example.org: carol
only: alice
pipe: "|/bin/cat -n"
file: /var/mail/f, /var/md/
piperun: |/bin/a, |/bin/a, /var/mail/f
fail: :fail: no such mailing list
defer: :defer:
hole: :blackhole:
gone: nosuch
circle: circle2
circle2: circle
self: self
quiet: \bob, alice
CASE: Alice, ALICE
info: alice
list: alice
owner-list: bob
listnest: list, carol
postmaster: alice
`}).start().expect([][2]string{
		{"one@example.org", "alice@example.org maildir alice"},
		{"one@sub.example.org", "alice@sub.example.org maildir alice"},
		{"ONE", "alice@mail.example.org maildir alice"},
		{"two@example.org", "alice@example.org maildir alice; bob@example.org maildir bob; carol@example.org maildir carol"},
		{"nested@example.org", "alice@example.org maildir alice; bob@example.org maildir bob; carol@example.org maildir carol"},
		{"bob@example.org", "bob@example.org maildir bob; carol@example.org maildir carol"},
		{"both@example.org", "bob@example.org maildir bob; carol@example.org maildir carol; " +
			"both@remote.example smtp via remote.example: mx.remote.example/192.0.2.1:25"},
		{"away@example.org", "x@remote.example smtp via remote.example: mx.remote.example/192.0.2.1:25; " +
			"y@remote.example smtp via remote.example: mx.remote.example/192.0.2.1:25"},
		{"only@example.org", "alice@example.org maildir alice"},
		{"only@sub.example.org", "carol@sub.example.org maildir carol"},
		{"pipe@example.org", "|/bin/cat -n pipe as nobody"},
		{"file@example.org", "/var/mail/f file as nobody; /var/md/ file as nobody"},
		{"piperun@example.org", "|/bin/a pipe as nobody; /var/mail/f file as nobody"},
		{"fail@example.org", "fail@example.org failed 5.7.1 policy"},
		{"defer@example.org", "defer@example.org deferred 4.7.1 policy"},
		{"hole@example.org", "hole@example.org delivered 2.0.0"},
		{"gone@example.org", "nosuch@example.org failed 5.1.1 unknown-user"},
		{"circle@example.org", "circle@example.org failed 5.4.6 loop"},
		{"self@example.org", "self@example.org failed 5.4.6 loop"},
		{"quiet@example.org", "bob@example.org maildir bob; alice@example.org maildir alice"},
		{"case@example.org", "Alice@example.org maildir alice"},
		{"info+x@example.org", "alice@example.org maildir alice"},
		{"list@example.org", "alice@example.org maildir alice errors owner-list@example.org"},
		{"List@example.org", "alice@example.org maildir alice errors owner-List@example.org"},
		{"owner-list@example.org", "bob@example.org maildir bob; carol@example.org maildir carol"},
		{"listnest@example.org", "alice@example.org maildir alice errors owner-list@example.org; carol@example.org maildir carol"},
		{"postmaster", "alice@mail.example.org maildir alice"},
	})
}

func TestFailTextReachesTheReport(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "a: :fail: ask at the desk\nx: y\ny: z\nz: x\n"}).start()
	if got := l.ask(to("a@example.org")).Leaves[0].Verdict.Text.ForTerminal(); got != "ask at the desk" {
		t.Errorf("got %q", got)
	}
	got := l.ask(to("x@example.org")).Leaves[0].Verdict.Text.ForTerminal()
	if want := "aliases that lead in a circle: x@example.org -> y@example.org -> z@example.org -> x@example.org"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLineageStopsLaterExpansion(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "bob: bob, carol\nquiet: \\bob\n"}).start()
	for _, first := range []string{"bob@example.org", "quiet@example.org"} {
		for _, leaf := range l.ask(to(first)).Leaves {
			if !leaf.Expanded {
				t.Errorf("%s: leaf not marked as expanded", first)
			}
			again := l.ask(&proto.RouteQuery{Recipients: []envelope.Recipient{leaf.Recipient}})
			if len(again.Leaves) != 1 || again.Leaves[0].Transport != "maildir" || again.Leaves[0].Expanded {
				t.Errorf("%s, retried: got %s", first, shows(again))
			}
		}
	}
}

func TestCommandsAndFilesAreRetriedWithoutExpansion(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "p: |/bin/x, /var/mail/f\n"})
	l.set.Directors[0].User = "carol"
	l.start()
	for _, leaf := range l.ask(to("p@example.org")).Leaves {
		again := l.ask(&proto.RouteQuery{Recipients: []envelope.Recipient{leaf.Recipient}})
		if got, want := shows(again), show(leaf); got != want || !strings.Contains(got, "as carol") {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestWhatADirectorDoesNotAllowWaits(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "p: |/bin/x, alice\nf: /var/mail/f\n"})
	l.set.Directors[0].AllowPipes, l.set.Directors[0].AllowFiles = false, false
	l.start().expect([][2]string{
		{"p@example.org", "p@example.org deferred 4.3.5 policy"},
		{"f@example.org", "f@example.org deferred 4.3.5 policy"},
	})
	a := l.ask(&proto.RouteQuery{Recipients: []envelope.Recipient{{
		Address: mailaddr.MustParse("p@example.org"), Kind: envelope.TargetPipe, Target: "/bin/x"}}})
	if got := shows(a); got != "|/bin/x deferred 4.3.5 policy" {
		t.Errorf("got %s", got)
	}
}

func TestPipeOfOneDirectorIsNotAllowedByAnother(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "x: alice\n", "more": "p: |/bin/x\n"})
	l.set.Directors = append([]settings.Director{l.set.Directors[0], {Name: "more", Driver: "aliasfile",
		File: filepath.Join(l.dir, "more")}}, l.set.Directors[1])
	l.start().expect([][2]string{{"p@example.org", "p@example.org deferred 4.3.5 policy"}})
}

func TestIncludedLists(t *testing.T) {
	l := newLab(t, "", map[string]string{
		"aliases": "list: :include:members, carol\nloop: :include:loop\nnone: :include:missing, carol\nempty: :include:empty\n" +
			"bad: :include:bad\nopen: :include:open\nbig: :include:deep0\npipe: :include:pipe\ndir: :include:.\n",
		"members": "# members\nalice\nbob, :include:more\n", "more": "x@sub.example.org\nalice\n",
		"loop": ":include:loop\n", "empty": "# nobody\n", "bad": "a b\n", "open": "alice\n", "pipe": "|/bin/sh\n",
	})
	if err := os.Chmod(filepath.Join(l.dir, "open"), 0o666); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		l.write(fmt.Sprintf("deep%d", i), fmt.Sprintf(":include:deep%d\n", i+1))
	}
	l.start().expect([][2]string{
		{"list@example.org", "alice@example.org maildir alice; bob@example.org maildir bob; " +
			"x@sub.example.org failed 5.1.1 unknown-user; carol@example.org maildir carol"},
		{"loop@example.org", "loop@example.org deferred 4.3.5 internal"},
		{"none@example.org", "none@example.org deferred 4.3.5 internal"},
		{"empty@example.org", "empty@example.org deferred 4.2.4 policy"},
		{"bad@example.org", "bad@example.org deferred 4.3.5 internal"},
		{"open@example.org", "open@example.org deferred 4.3.5 internal"},
		{"big@example.org", "big@example.org deferred 4.3.5 internal"},
		{"pipe@example.org", "pipe@example.org deferred 4.3.5 internal"},
		{"dir@example.org", "dir@example.org deferred 4.3.5 internal"},
	})
	text := l.ask(to("bad@example.org")).Leaves[0].Verdict.Text.ForTerminal()
	if !strings.Contains(text, "bad:1: no comma behind a") {
		t.Errorf("got %s", text)
	}
	l.write("members", "carol\n")
	l.wait(time.Hour)
	l.expect([][2]string{{"list@example.org", "carol@example.org maildir carol"}})
}

func TestAliasFileIsTakenWholeOrNotAtAll(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "a: alice\n"}).start()
	is := func(want string) {
		t.Helper()
		l.wait(time.Hour)
		l.expect([][2]string{{"a@example.org", want}})
	}
	is("alice@example.org maildir alice")
	l.write("aliases", "a: bob\n")
	is("bob@example.org maildir bob")
	l.write("aliases", "a: carol\nb c d\n")
	is("bob@example.org maildir bob")
	if got := l.warnings(); !strings.Contains(got, "aliases:2: no colon behind the name") {
		t.Errorf("told %q", got)
	}
	l.write("aliases", "a: carol\n")
	is("carol@example.org maildir carol")
}

func TestASecondMistakeIsToldAsTheFirst(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "a: alice\n"}).start()
	for i, text := range []string{"a: carol\nb c d\n", "a: carol\nb: bob\nc d e\n"} {
		l.write("aliases", text)
		l.wait(time.Second) // less than anything that may be told only so often
		l.expect([][2]string{{"a@example.org", "alice@example.org maildir alice"}})
		if got, want := l.warnings(), fmt.Sprintf("aliases:%d: ", i+2); !strings.Contains(got, want) {
			t.Errorf("told %q, not %q", got, want)
		}
	}
}

func TestUnreadableAliasFileDefers(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "a b c\n"}).start()
	l.expect([][2]string{{"alice@example.org", "alice@example.org deferred 4.3.5 internal"}})
	if got := l.warnings(); !strings.Contains(got, "aliases:1:") {
		t.Errorf("told %q", got)
	}
	l.write("aliases", "a: b\n")
	l.wait(time.Hour)
	l.expect([][2]string{{"alice@example.org", "alice@example.org maildir alice"}})

	l = newLab(t, "", nil)
	l.set.Directors[0].Optional = false
	l.start().expect([][2]string{{"alice@example.org", "alice@example.org deferred 4.3.5 internal"}})
}

func TestAliasFileWithTransportTakesAClassOfUsers(t *testing.T) {
	l := newLab(t, "", map[string]string{"cancelled": "alice: x\n"})
	l.set.Directors = append([]settings.Director{{Name: "cancelled", Driver: "aliasfile", File: filepath.Join(l.dir, "cancelled"),
		Transport: "pipe", User: "bob", Separator: "+"}}, l.set.Directors...)
	l.start().expect([][2]string{
		{"alice+z@example.org", "alice+z@example.org pipe bob detail z"},
		{"bob@example.org", "bob@example.org maildir bob"},
	})
}

func TestPostmasterAlwaysHasAPlace(t *testing.T) {
	l := newLab(t, "", nil)
	l.set.Postmaster = "alice"
	l.start().expect([][2]string{
		{"postmaster", "alice@mail.example.org maildir alice"},
		{"PostMaster@sub.example.org", "alice@mail.example.org maildir alice"},
		{"root@example.org", "alice@mail.example.org maildir alice"},
	})
	for _, lost := range []string{"postmaster", "nosuch", "nosuch@example.org"} {
		l = newLab(t, "", map[string]string{"aliases": "x: y\n"})
		l.set.Postmaster = lost
		l.start().expect([][2]string{
			{"postmaster", "postmaster deferred 4.3.5 unknown-user"},
			{"postmaster@example.org", "postmaster@example.org deferred 4.3.5 unknown-user"},
			{"root@example.org", "root@example.org deferred 4.3.5 unknown-user"},
		})
		if got := l.warnings(); !strings.Contains(got, "make an alias for it, or set postmaster") {
			t.Errorf("%s: told %q", lost, got)
		}
	}
	l = newLab(t, "!servfail gone.example.\n", nil)
	l.set.Postmaster = "pm@nowhere.example"
	l.start().expect([][2]string{{"postmaster@example.org", "postmaster@example.org deferred 4.3.5 unknown-user"}})
}

func TestRootIsDeliveredByAliasOnly(t *testing.T) {
	newLab(t, "", map[string]string{"aliases": "root: bob\n"}).start().expect([][2]string{
		{"root@example.org", "bob@example.org maildir bob"},
	})
}

func TestVirtualUsers(t *testing.T) {
	l := newLab(t, "", map[string]string{"users": "ann@example.org ann\njoe joe:/srv/joe\n@sub.example.org catchall\n"})
	l.set.Directors[1] = settings.Director{Name: "users", Driver: "user", Users: "table", File: filepath.Join(l.dir, "users"),
		Transport: "maildir", Separator: "+"}
	l.start().expect([][2]string{
		{"ann@example.org", "ann@example.org maildir ann"},
		{"ann+x@example.org", "ann+x@example.org maildir ann detail x"},
		{"ann@other.example.org", "ann@other.example.org failed 5.1.1 unknown-user"},
		{"joe@other.example.org", "joe@other.example.org maildir joe"},
		{"joe@sub.example.org", "joe@sub.example.org maildir joe"},
		{"x@sub.example.org", "x@sub.example.org maildir catchall"},
		{"alice@example.org", "alice@example.org failed 5.1.1 unknown-user"},
	})
	for addr, home := range map[string]string{"ann@example.org": "/mail/ann", "joe@example.org": "/srv/joe"} {
		u := l.ask(to(addr)).Leaves[0].User
		if u.Home != home || u.UID != uint32(os.Getuid()) {
			t.Errorf("%s: got %+v", addr, u)
		}
	}
}

func TestVirtualUsersOfASeparatedInstanceAreAccounts(t *testing.T) {
	l := newLab(t, "", map[string]string{"users": "ann alice\njoe bob:/srv/joe\nno nosuch\nsu root\n"})
	l.set.Instance.Separate = true
	l.set.Directors[1] = settings.Director{Name: "users", Driver: "user", Users: "table", File: filepath.Join(l.dir, "users"),
		Transport: "maildir"}
	l.start().expect([][2]string{
		{"ann@example.org", "ann@example.org maildir alice"},
		{"no@example.org", "no@example.org deferred 4.3.5 internal"},
		{"su@example.org", "su@example.org deferred 4.3.5 internal"},
	})
	for addr, want := range map[string]proto.User{
		"ann@example.org": {Name: "alice", UID: 1000, GID: 100, Home: "/home/alice"},
		"joe@example.org": {Name: "bob", UID: 1001, GID: 100, Home: "/srv/joe"},
	} {
		if diff := cmp.Diff(&want, l.ask(to(addr)).Leaves[0].User); diff != "" {
			t.Error(diff)
		}
	}
}

func TestSmartUser(t *testing.T) {
	for _, c := range []struct{ address, rcpt, want string }{
		{"alice@example.org", "nosuch@example.org", "alice@example.org maildir alice"},
		{"alice", "nosuch@sub.example.org", "alice@sub.example.org maildir alice"},
		{"{local_part}@hub.example", "x.y@example.org", "x.y@hub.example smtp via hub.example: hub.example/192.0.2.7:25"},
		{"{local_part}@hub.example", `"x y"@example.org`, `"x y"@hub.example smtp via hub.example: hub.example/192.0.2.7:25`},
		{"{local_part}@hub.example", `"a@b"@example.org`, `"a@b"@hub.example smtp via hub.example: hub.example/192.0.2.7:25`},
		{"{local_part}@{domain}.example", "x@example.org", "x@example.org.example failed 5.1.2 no-domain"},
		{"nosuch", "other@example.org", "nosuch@example.org failed 5.1.1 unknown-user"},
		{"{local_part}", "other@example.org", "other@example.org failed 5.1.1 unknown-user"},
	} {
		l := newLab(t, "hub.example. A 192.0.2.7\n", nil)
		l.set.Directors = append(l.set.Directors, settings.Director{Name: "smart", Driver: "smartuser", Address: c.address})
		l.start()
		if got := shows(l.ask(to(c.rcpt))); got != c.want {
			t.Errorf("%s, %s: got %s, want %s", c.address, c.rcpt, got, c.want)
		}
	}
}

func TestGrowingAddressesEnd(t *testing.T) {
	l := newLab(t, "", nil)
	l.set.Directors = append(l.set.Directors, settings.Director{Name: "smart", Driver: "smartuser", Address: "{local_part}x"})
	l.start().expect([][2]string{{"a@example.org", "a" + strings.Repeat("x", 63) + "@example.org failed 5.1.1 unknown-user"}})
}

func TestConditionsOfDirectors(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "x: alice\n"})
	l.set.Directors[0].Domains = []string{"sub.example.org"}
	l.set.Directors[1].LocalParts = []string{"a*"}
	l.start().expect([][2]string{
		{"x@example.org", "x@example.org failed 5.1.1 unknown-user"},
		{"x@sub.example.org", "alice@sub.example.org maildir alice"},
		{"bob@example.org", "bob@example.org failed 5.1.1 unknown-user"},
	})
}

func TestDuplicatesAreDeliveredOnce(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "list: alice, bob, alice\nlist2: bob, Alice\nhole: :blackhole:\n"}).start()
	for _, c := range []struct {
		rcpts []string
		want  string
	}{
		{[]string{"alice@example.org", "list@example.org"}, "0 alice@example.org maildir alice\n1 bob@example.org maildir bob"},
		{[]string{"list@example.org", "alice@example.org"}, "0 bob@example.org maildir bob\n1 alice@example.org maildir alice"},
		{[]string{"list@example.org", "list2@example.org"},
			"0 alice@example.org maildir alice\n0 bob@example.org maildir bob\n1 list2@example.org delivered 2.0.0"},
		{[]string{"alice@example.org", "ALICE@example.org"}, "0 alice@example.org maildir alice\n1 ALICE@example.org delivered 2.0.0"},
		{[]string{"nosuch@example.org", "nosuch@example.org"},
			"0 nosuch@example.org failed 5.1.1 unknown-user\n1 nosuch@example.org failed 5.1.1 unknown-user"},
		{[]string{"hole@example.org", "hole@example.org"}, "0 hole@example.org delivered 2.0.0\n1 hole@example.org delivered 2.0.0"},
	} {
		var lines []string
		for _, leaf := range l.ask(to(c.rcpts...)).Leaves {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%d %s", leaf.Parent, strings.TrimSpace(show(leaf)))))
		}
		if got := strings.Join(lines, "\n"); got != c.want {
			t.Errorf("%v:\n%s\nwant\n%s", c.rcpts, got, c.want)
		}
	}
}

func TestFanOutIsBoundedAndNeverCut(t *testing.T) {
	var b strings.Builder
	b.WriteString("many: m0")
	for i := 1; i < 200; i++ {
		fmt.Fprintf(&b, ", m%d@remote.example", i)
	}
	b.WriteString("\nbush: b0, b1\n")
	for i := range 40 {
		fmt.Fprintf(&b, "b%d: b%d, b%d\n", i, i+1, i+2)
	}
	l := newLab(t, "remote.example. A 192.0.2.1\n", map[string]string{"aliases": b.String()})
	l.set.Limits.Expansion = 100
	l.start()
	a := l.ask(to("alice@example.org", "many@example.org", "x@remote.example"))
	want := "alice@example.org maildir alice\nmany@example.org deferred 4.2.4 policy\nx@remote.example smtp via remote.example: remote.example/192.0.2.1:25"
	if got := shows(a); got != want {
		t.Errorf("got %s", got)
	}
	if text := a.Leaves[1].Verdict.Text.ForTerminal(); !strings.Contains(text, "more than 100 recipients") {
		t.Errorf("got %s", text)
	}
	// A bush of 2^40 paths has 42 addresses.
	if got := l.ask(to("bush@example.org")); len(got.Leaves) != 2 {
		t.Errorf("bush: %d leaves\n%s", len(got.Leaves), shows(got))
	}
}

func TestDeepAliasesEnd(t *testing.T) {
	var b strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&b, "d%d: d%d\n", i, i+1)
	}
	newLab(t, "", map[string]string{"aliases": b.String()}).start().expect([][2]string{
		{"d0@example.org", "d64@example.org failed 5.4.6 loop"},
		{"d9990@example.org", "d10000@example.org failed 5.1.1 unknown-user"},
	})
}

// What can't be encoded would end the connection, and every query on it.
func TestDeepestAliasCanBeSent(t *testing.T) {
	var b strings.Builder
	for i := range envelope.MaxLineage - 1 {
		fmt.Fprintf(&b, "d%d: d%d\n", i, i+1)
	}
	fmt.Fprintf(&b, "d%d: \\alice\n", envelope.MaxLineage-1)
	newLab(t, "", map[string]string{"aliases": b.String()}).start().expect([][2]string{
		{"d2@example.org", "alice@example.org maildir alice"},
		{"d1@example.org", "alice@example.org failed 5.4.6 loop"},
		{"d0@example.org", "alice@example.org failed 5.4.6 loop"},
	})
}

// RouteAnswer holds as many leaves as an envelope may have recipients. dispatch
// then asks for fewer at a time.
func TestMoreLeavesThanAnAnswerHoldsAreCounted(t *testing.T) {
	var list strings.Builder
	for i := range envelope.MaxRecipients * 2 / 3 {
		fmt.Fprintf(&list, "m%d@remote.example\n", i)
	}
	l := newLab(t, "remote.example. A 192.0.2.1\n", map[string]string{"list": list.String()})
	l.write("aliases", fmt.Sprintf("one: :include:%s/list\ntwo: :include:%s/list2\nboth: one, two\n", l.dir, l.dir))
	l.write("list2", strings.ReplaceAll(list.String(), "@", "-two@"))
	l.set.Limits.Expansion = 10 * envelope.MaxRecipients
	l.start()
	const each = envelope.MaxRecipients * 2 / 3
	if a := l.ask(to("one@example.org", "two@example.org")); len(a.Leaves) != 0 || a.TooMany != 2*each {
		t.Fatalf("%d leaves, too many: %d", len(a.Leaves), a.TooMany)
	}
	if n := len(l.ask(to("one@example.org")).Leaves); n != each {
		t.Errorf("%d leaves", n)
	}
	m := to("one@example.org")
	if m.Most = each - 1; l.ask(m).TooMany != each {
		t.Error("more leaves than there is room for")
	}
	if m.Most = each; len(l.ask(m).Leaves) != each {
		t.Error("as many as there is room for are refused")
	}
	if got := l.ask(to("both@example.org")).Leaves; len(got) != 1 || !got[0].Verdict.Temporary() {
		t.Errorf("one list of more: %d leaves", len(got))
	}
}

func TestOwnersAreToldOnlyOfMailThatHasASender(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "list: alice\nowner-list: bob\n"}).start()
	m := to("list@example.org")
	m.Sender = mailaddr.Address{}
	if got := l.ask(m).Leaves[0].Recipient.ErrorsTo; got != nil {
		t.Errorf("a report's errors go to %v", got)
	}
}

// TestNotifyOfAliases is RFC 3461, section 5.2.7.
func TestNotifyOfAliases(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "one: alice\ntwo: alice, bob\nlist: alice, bob\nowner-list: bob\n"}).start()
	for _, c := range []struct {
		name string
		in   envelope.Notify
		want envelope.Notify
		orig bool
	}{
		{"one", envelope.NotifySuccess, envelope.NotifySuccess, true},
		{"two", envelope.NotifySuccess | envelope.NotifyFailure, envelope.NotifyFailure, true},
		{"two", envelope.NotifySuccess, envelope.NotifyNever, true},
		{"two", 0, 0, true},
		{"two", envelope.NotifyNever, envelope.NotifyNever, true},
		{"list", envelope.NotifySuccess, 0, false},
	} {
		m := to(c.name + "@example.org")
		m.Recipients[0].Notify = c.in
		m.Recipients[0].OrigType, m.Recipients[0].Orig = "rfc822", untrusted.From("x@y.example")
		for _, leaf := range l.ask(m).Leaves {
			if leaf.Recipient.Notify != c.want || leaf.Recipient.Orig.IsEmpty() == c.orig {
				t.Errorf("%s %d: got %d, orig %v", c.name, c.in, leaf.Recipient.Notify, leaf.Recipient.Orig)
			}
		}
	}
}
