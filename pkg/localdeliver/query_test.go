package localdeliver

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/service/servicetest"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// querySettings has directors and a router that need a child to answer.
func querySettings(t *testing.T) *settings.Settings {
	t.Helper()
	s := testSettings(t)
	s.Directors = []settings.Director{
		{Name: "aliases", Driver: "aliasfile", File: "/etc/aliases"},
		{Name: "forward", Driver: "forwardfile"},
		{Name: "lists", Driver: "forwardfile", File: ".forward+{detail}", AllowIncludes: true},
		{Name: "ask", Driver: "command", Command: []string{exe(t), commandFlag, "answer", "{local_part}"}},
		{Name: "empty", Driver: "command"},
	}
	s.Routers = []settings.Router{
		{Name: "hosts", Driver: "command", Command: []string{exe(t), commandFlag, "answer", "{domain}"}},
		{Name: "ask", Driver: "mx"},
	}
	return s
}

func TestDaemonAnswersRouter(t *testing.T) {
	suite := servicetest.New(t, querySettings(t), nil)
	suite.Start(proto.LocalDeliver, New())
	client := suite.Client(string(proto.Router), proto.LocalDeliver, ipc.ClientOptions{})
	home := homeWith(t, "ada@far.example\n")
	var a proto.ForwardAnswer
	if err := client.Call(t.Context(), &proto.ForwardQuery{Director: "forward", User: "bob", Home: home}, &a); err != nil {
		t.Fatal(err)
	}
	wantText(t, &a, "ada@far.example\n")
	var c proto.ConsultAnswer
	if err := client.Call(t.Context(), &proto.ConsultQuery{Router: "hosts", Domain: "far.example"}, &c); err != nil {
		t.Fatal(err)
	}
	if c.Trouble != "" || !strings.HasPrefix(c.Output.ForWire(), `["far.example"]`) {
		t.Fatalf("%q %q", c.Output.ForWire(), c.Trouble)
	}
}

// Each caller has its own questions; a job from router would be a command of
// router's choice.
func TestNobodyElseGetsAnAnswer(t *testing.T) {
	s := querySettings(t)
	suite := servicetest.New(t, s, nil)
	suite.Start(proto.LocalDeliver, New())
	home := homeWith(t, "ada@far.example\n")
	call := func(caller proto.Service, q, a ipc.Message) {
		t.Helper()
		// A caller without an arrow waits for one.
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := suite.Client(string(caller), proto.LocalDeliver, ipc.ClientOptions{}).Call(ctx, q, a); err == nil {
			t.Errorf("%s got an answer to %T", caller, q)
		}
	}
	for _, caller := range []proto.Service{proto.Dispatch, proto.SMTPD} {
		call(caller, &proto.ForwardQuery{Director: "forward", User: "bob", Home: home}, &proto.ForwardAnswer{})
		call(caller, &proto.ConsultQuery{Router: "hosts"}, &proto.ConsultAnswer{})
	}
	call(proto.Router, jobFor("bob", "maildir", testMessage), &proto.LocalDone{})
	if _, err := os.Stat(filepath.Join(s.Instance.Mail, "bob")); err == nil {
		t.Error("router had mail delivered")
	}
}

func TestOnlyWhatTheSettingsNameIsReadOrRun(t *testing.T) {
	srv := startServer(t, querySettings(t))
	home := homeWith(t, "ada@far.example\n")
	for _, name := range []string{"", "nothing", "aliases", "ask"} {
		wantTrouble(t, srv.forward(t.Context(), &proto.ForwardQuery{Director: name, User: "bob", Home: home}), "no director")
	}
	for _, q := range []*proto.ConsultQuery{
		{}, {Director: "nothing"}, {Director: "forward"}, {Director: "empty"}, {Router: "ask"}, {Director: "hosts"},
		{Director: "ask", Router: "hosts"},
	} {
		if a := srv.consult(t.Context(), q); a.Trouble == "" || !a.Output.IsEmpty() {
			t.Errorf("%+v: %q", q, a.Output.ForWire())
		}
	}
	if a := srv.consult(t.Context(), &proto.ConsultQuery{Director: "ask", LocalPart: "bob"}); a.Trouble != "" {
		t.Errorf("%q", a.Trouble)
	}
}

func TestIncludesAreReadOnlyWhereTheDirectorAllowsThem(t *testing.T) {
	srv := startServer(t, querySettings(t))
	home := homeWith(t, ":include:list\n")
	write(t, home+"/list", "ada@far.example\n")
	write(t, home+"/.forward+x", ":include:list\n")
	a := srv.forward(t.Context(), &proto.ForwardQuery{Director: "forward", User: "bob", Home: home})
	wantText(t, a, ":include:list\n")
	if len(a.Includes) != 0 {
		t.Errorf("%d lists", len(a.Includes))
	}
	a = srv.forward(t.Context(), &proto.ForwardQuery{Director: "lists", User: "bob", Home: home, Detail: "x"})
	wantText(t, a, ":include:list\n")
	if len(a.Includes) != 1 || a.Includes[0].Path != home+"/list" || !a.Includes[0].Text.Equal("ada@far.example\n") {
		t.Errorf("%+v", a.Includes)
	}
}

// planner of a separated instance with some accounts.
func separatedPlanner(t *testing.T) *planner {
	t.Helper()
	users := map[string]privsep.User{
		"bob":    {Name: "bob", Home: "/home/bob", Identity: privsep.Identity{UID: 1000, GID: 1000, Groups: []int{1000, 20}}},
		"nobody": {Name: "nobody", Home: "/nonexistent", Identity: privsep.Identity{UID: 65534, GID: 65534}},
		"root":   {Name: "root", Home: "/root"},
		"toor":   {Name: "toor", Home: "/root"},
	}
	p := &planner{lookup: func(name string) (privsep.User, error) {
		if name == "broken" {
			return privsep.User{}, errors.New("input or output error")
		}
		u, ok := users[name]
		if !ok {
			return u, privsep.ErrNoUser
		}
		return u, nil
	}, group: func(name string) (int, error) {
		gid, ok := map[string]int{"mail": 8, "wheel": 0, "staff": 50}[name]
		if !ok {
			return 0, privsep.ErrNoUser
		}
		return gid, nil
	}}
	s := querySettings(t)
	s.Instance.Separate = true
	p.settings.Store(s)
	return p
}

func TestAForwardFileIsReadAsItsUserInHisOwnHome(t *testing.T) {
	p := separatedPlanner(t)
	pl, req, why, err := p.planRead(&proto.ForwardQuery{Director: "forward", User: "bob", Home: "/etc"})
	if err != nil || why != "" || pl.identity.UID != 1000 || req.Actor != (actor{"bob", "/home/bob"}) || req.File != ".forward" {
		t.Fatalf("%+v %+v %q %v", pl, req, why, err)
	}
}

func TestNothingIsReadAsRoot(t *testing.T) {
	p := separatedPlanner(t)
	for _, name := range []string{"root", "toor", "somebody"} {
		if _, req, why, err := p.planRead(&proto.ForwardQuery{Director: "forward", User: name}); req != nil || why == "" || err != nil {
			t.Errorf("%s: %+v %q %v", name, req, why, err)
		}
	}
	if _, req, _, err := p.planRead(&proto.ForwardQuery{Director: "forward", User: "broken"}); req != nil || err == nil {
		t.Errorf("accounts that can't be read: %+v", req)
	}
}

func TestAProgramRunsAsTheUserOfItsDirector(t *testing.T) {
	p := separatedPlanner(t)
	s := p.settings.Load()
	d := &s.Directors[3]
	for _, test := range []struct {
		user, group string
		uid, gid    int
		wrong       string
	}{
		{"", "", 65534, 65534, ""},
		{"bob", "", 1000, 1000, ""},
		{"bob", "staff", 1000, 50, ""},
		{"root", "", 0, 0, "as root"},
		{"toor", "", 0, 0, "as root"},
		{"bob", "wheel", 0, 0, "group of root"},
		{"bob", "unknown", 0, 0, "no such user or group"},
		{"somebody", "", 0, 0, "no such user or group"},
	} {
		d.User, d.Group = test.user, test.group
		pl, _, err := p.planAsk(&proto.ConsultQuery{Director: "ask"})
		if test.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("%+v: %v", test, err)
			}
			continue
		}
		if err != nil || pl.identity.UID != test.uid || pl.identity.GID != test.gid || pl.key.group != test.group {
			t.Errorf("%+v: %+v %v", test, pl, err)
		}
	}
}

// mutes are children that never answer, and that no signal reaches: as if they
// waited for a file server.
type mutes struct {
	held    *io.PipeReader
	release *io.PipeWriter
	ends    []*os.File // of their sockets
}

func (m *mutes) start(plan) (*child, error) {
	c, theirs := deafChild()
	m.ends = append(m.ends, theirs)
	// Wait is over when all input is read, which will not be.
	c.cmd = execHeld(m.held)
	return c, c.cmd.Start()
}

func TestAHomeThatHangsIsTroubleAndHoldsUpItsUserAlone(t *testing.T) {
	s := querySettings(t)
	s.Limits.LocalChildren, s.Limits.PerUser = 3, 2
	s.Instance.Separate = true
	m := &mutes{}
	m.held, m.release = io.Pipe()
	defer m.release.Close()
	healthy := &launcher{}
	srv := newServer(s, func(pl plan) (*child, error) {
		if pl.key.user == "eve" {
			return m.start(pl)
		}
		pl.identity = nil
		return healthy.start(pl)
	}, nil)
	home := homeWith(t, "ada@far.example\n")
	srv.planner.lookup = func(name string) (privsep.User, error) {
		return privsep.User{Name: name, Home: home, Identity: privsep.Identity{UID: 1, GID: 1}}, nil
	}
	srv.patience.read, srv.patience.place = 20*time.Millisecond, 20*time.Millisecond
	ask := func(user string) *proto.ForwardAnswer {
		return srv.forward(t.Context(), &proto.ForwardQuery{Director: "forward", User: user})
	}
	for range 2 {
		wantTrouble(t, ask("eve"), "did not answer within 20ms")
	}
	for range 4 {
		wantTrouble(t, ask("eve"), "hang")
	}
	// Nor is anybody held up by asking, when they have hung for a while.
	srv.patience.read, srv.patience.place = time.Minute, time.Hour
	srv.errands.mu.Lock()
	srv.errands.stuck["eve"] = hanging{children: 2, since: time.Now().Add(-killWait)}
	srv.errands.mu.Unlock()
	wantTrouble(t, ask("eve"), "hang")
	wantText(t, ask("bob"), "ada@far.example\n")
	// When the file server is back, so are his places.
	_ = m.release.Close()
	srv.errands.mu.Lock()
	for len(srv.errands.stuck) > 0 {
		wait := srv.errands.changed
		srv.errands.mu.Unlock()
		<-wait
		srv.errands.mu.Lock()
	}
	srv.errands.mu.Unlock()
	srv.drain(t.Context())
}

// Errands have places of their own: what router waits for holds up no mail.
func TestErrandsTakeNoPlaceOfADelivery(t *testing.T) {
	s := querySettings(t)
	s.Limits.LocalChildren, s.Limits.PerUser = 1, 1
	file := filepath.Join(t.TempDir(), "pid")
	s.Directors = append(s.Directors, settings.Director{
		Name: "slow", Driver: "command", Command: []string{exe(t), commandFlag, "hang", file}, Timeout: settings.Duration(time.Minute),
	})
	srv := startServer(t, s)
	result := make(chan *proto.ConsultAnswer)
	go func() { result <- srv.consult(context.Background(), &proto.ConsultQuery{Director: "slow"}) }()
	waitForFile(t, file)
	wantDelivered(t, srv.deliver(t.Context(), jobFor("bob", "maildir", testMessage), nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	srv.drain(ctx)
	if a := <-result; a.Trouble == "" {
		t.Errorf("%q", a.Output.ForWire())
	}
}

func TestAChildThatTalksNonsenseIsTroubleOfItsUser(t *testing.T) {
	s := querySettings(t)
	for _, program := range []string{"/bin/true", "/bin/cat"} {
		srv := newServer(s, (&launcher{program: program}).start, privsep.LookupUser)
		wantTrouble(t, srv.forward(t.Context(), &proto.ForwardQuery{Director: "forward", User: "bob", Home: "/nonexistent"}), "process that was to answer")
		srv.drain(t.Context())
	}
}

// The child is the user's, and may say what he likes.
func TestWhatAChildSaysIsDoubted(t *testing.T) {
	much := untrusted.From(strings.Repeat("x", proto.MaxForward/2+1))
	a := checkForward(&proto.ForwardAnswer{Found: true, Text: much, Includes: []proto.Included{{Text: much}}}, &childRead{Includes: true})
	wantTrouble(t, a, "more than")
	a = checkForward(&proto.ForwardAnswer{Found: true, Text: much, Trouble: "a\x1b[2Jb", Includes: []proto.Included{{Path: "/x"}}}, &childRead{Includes: true})
	wantTrouble(t, a, `a\x1b[2Jb`)
	a = checkForward(&proto.ForwardAnswer{Found: true, Path: "/home/a\nb/.forward"}, &childRead{})
	wantTrouble(t, a, "control character")
	a = checkForward(&proto.ForwardAnswer{Found: true, Includes: []proto.Included{{Path: "/x"}}}, &childRead{})
	if len(a.Includes) != 0 {
		t.Error("lists that nobody asked for")
	}
	a = checkForward(&proto.ForwardAnswer{Text: much, Includes: []proto.Included{{Path: "/x"}}}, &childRead{Includes: true})
	if !a.Text.IsEmpty() || len(a.Includes) != 0 {
		t.Error("the text of no file")
	}
}

func TestAGroupIsTheOneThatTheSettingsGiveToTheUser(t *testing.T) {
	for _, test := range []struct {
		name      string
		transport settings.Transport
		job       string // the group in the job
		director  settings.Director
		gid       int // 0: refused
	}{
		{"the account's", settings.Transport{}, "", settings.Director{}, 1000},
		{"the transport's", settings.Transport{Group: "mail"}, "", settings.Director{}, 8},
		{"the director's", settings.Transport{}, "mail", settings.Director{Group: "mail"}, 8},
		{"the director's for this user", settings.Transport{}, "mail", settings.Director{User: "bob", Group: "mail"}, 8},
		{"the director's for another user", settings.Transport{}, "mail", settings.Director{User: "nobody", Group: "mail"}, 0},
		{"nobody's", settings.Transport{}, "staff", settings.Director{Group: "mail"}, 0},
		{"the director's before that of a transport without a user", settings.Transport{Group: "mail"}, "staff", settings.Director{Group: "staff"}, 50},
		{"that of a transport with the user", settings.Transport{User: "bob", Group: "mail"}, "staff", settings.Director{Group: "staff"}, 8},
		{"root's", settings.Transport{Group: "wheel"}, "", settings.Director{}, 0},
		{"unknown", settings.Transport{Group: "unknown"}, "", settings.Director{}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := separatedPlanner(t)
			s := p.settings.Load()
			test.transport.Driver = "maildir"
			s.Transports = map[string]settings.Transport{"maildir": test.transport}
			s.Directors = []settings.Director{test.director}
			job := jobFor("bob", "maildir", "")
			job.User.Group = test.job
			pl, o := p.plan(job)
			if test.gid == 0 {
				if o == nil || o.Class != outcome.Deferred || o.Kind != outcome.Permission {
					t.Fatalf("%+v", pl.identity)
				}
				return
			}
			if o != nil || pl.identity.GID != test.gid || len(pl.identity.Groups) != 2 {
				t.Fatalf("%+v %+v", pl.identity, o)
			}
			if other, _ := p.plan(jobFor("bob", "maildir", "")); test.job != "" && test.transport.Group == "" && other.key == pl.key {
				t.Error("jobs of two groups share a child")
			}
		})
	}
}

// A user of an alias is not in the group that a transport names for its own.
func TestTheGroupOfATransportsUserIsNotForAnAliassUser(t *testing.T) {
	job := jobFor("bob", "pipe", "")
	if g := actingGroup(job, settings.Transport{User: "vox", Group: "mail"}, "bob"); g != "" {
		t.Errorf("bob is in group %q", g)
	}
	if g := actingGroup(job, settings.Transport{User: "vox", Group: "mail"}, "vox"); g != "mail" {
		t.Errorf("vox is in group %q", g)
	}
}

func TestAnUnseparatedInstanceReadsTheHomeThatRouterNames(t *testing.T) {
	s := querySettings(t)
	srv := startServer(t, s)
	home := mkdir(t, s.Instance.Mail, "nobody-here")
	write(t, home+"/.forward", "ada@far.example\n")
	wantText(t, srv.forward(t.Context(), &proto.ForwardQuery{Director: "forward", User: "nobody-here"}), "ada@far.example\n")
	wantTrouble(t, srv.forward(t.Context(), &proto.ForwardQuery{Director: "forward", User: "../nobody-here"}), "name")
	other := homeWith(t, "eve@far.example\n")
	wantText(t, srv.forward(t.Context(), &proto.ForwardQuery{Director: "forward", User: "nobody-here", Home: other}), "eve@far.example\n")
	if err := os.Remove(home + "/.forward"); err != nil {
		t.Fatal(err)
	}
	wantNone(t, srv.forward(t.Context(), &proto.ForwardQuery{Director: "forward", User: "nobody-here"}), "")
}
