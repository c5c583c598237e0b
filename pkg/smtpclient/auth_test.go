package smtpclient

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"

	"filbert/pkg/event"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
	"filbert/pkg/smtpclient/smtptest"
)

const (
	testUser     = "me=you,or@from.test"
	testPassword = "s3cr3t, \"with\" spaces ü"
)

// logins makes the server's side of our mechanisms.
func logins(t testing.TB) func(string) smtptest.Login {
	client, err := scram.SHA256.NewClient(testUser, testPassword, "")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt of the test", Iters: 4096})
	if err != nil {
		t.Fatal(err)
	}
	server, err := scram.SHA256.NewServer(func(user string) (scram.StoredCredentials, error) {
		if user != testUser {
			return scram.StoredCredentials{}, errors.New("nobody")
		}
		return stored, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(mechanism string) smtptest.Login {
		switch mechanism {
		case "SCRAM-SHA-256":
			return &scramServer{conv: server.NewConversation()}
		case "PLAIN":
			return sasl.NewPlainServer(func(_, user, password string) error { return known(user, password) })
		case "LOGIN":
			return &loginServer{}
		}
		return nil
	}
}

func known(user, password string) error {
	if user == testUser && password == testPassword {
		return nil
	}
	// As some servers do, who mean well.
	return fmt.Errorf("%q is not the password of %q", password, user)
}

type scramServer struct{ conv *scram.ServerConversation }

func (s *scramServer) Next(response []byte) ([]byte, bool, error) {
	if s.conv.Done() {
		return nil, true, nil
	}
	out, err := s.conv.Step(string(response))
	return []byte(out), false, err
}

type loginServer struct{ words []string }

func (s *loginServer) Next(response []byte) ([]byte, bool, error) {
	if response != nil {
		s.words = append(s.words, string(response))
	}
	switch len(s.words) {
	case 0:
		return []byte("User Name\x00"), false, nil
	case 1:
		return []byte("pass"), false, nil
	}
	return nil, true, known(s.words[0], s.words[1])
}

// withLogin is a transport that has a password.
func withLogin(password string) func(*settings.Settings) {
	return transport("smtp", func(tr *settings.Transport) { tr.Username, tr.Password = testUser, password })
}

// away is a host elsewhere, as far as the client can see: what dials it gets to
// addr. The port decides whether TLS comes first.
func away(c *Client, addr netip.AddrPort, port uint16) []netip.AddrPort {
	c.dial = func(ctx context.Context, t *target) (net.Conn, error) {
		there := *t
		there.addr = addr
		return dial(ctx, &there)
	}
	return to(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.25"), port))
}

func TestBestMechanismIsUsed(t *testing.T) {
	for _, tt := range []struct{ offered, used string }{
		{"LOGIN PLAIN SCRAM-SHA-256", "SCRAM-SHA-256"},
		{"SCRAM-SHA-1 CRAM-MD5 LOGIN PLAIN", "PLAIN"},
		{"login", "LOGIN"},
	} {
		sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{"AUTH " + tt.offered, "PIPELINING"}, Login: logins(t)})
		want(t, deliver(t, newClient(t, withLogin(testPassword)), newJob(to(sink.Addr()))), "delivered 250 2.0.0")
		if got := sink.Mails()[0].Login; got != tt.used {
			t.Errorf("%s: %s", tt.offered, got)
		}
	}
}

func TestLongPasswordIsNoPartOfTheCommand(t *testing.T) {
	// RFC 4954, section 4: no initial response beyond the length of a command.
	long := strings.Repeat("long ", 100)
	response := base64.StdEncoding.EncodeToString([]byte("\x00" + testUser + "\x00" + long))
	srv := smtptest.Play(t, hello("AUTH PLAIN")+"C: AUTH PLAIN\nS: 334 \nC: "+response+"\nS: 235 ok"+secret)
	want(t, deliver(t, newClient(t, withLogin(long)), newJob(to(srv.Addr()))), "delivered 250 2.0.0")
}

func TestRefusedLoginIsNoFailureOfTheMail(t *testing.T) {
	for _, tt := range []struct{ reply, want string }{
		{"535 5.7.8 bad", "deferred auth 535 4.7.8"}, {"454 4.7.0 later", "deferred auth 454 4.7.0"}, {"550 no", "deferred auth 550 4.0.0"},
		{"421 4.3.2 bye", "deferred auth 421 4.3.2"}, {"530 5.7.0 TLS first", "deferred auth 530 4.7.0"},
		{"354 go", "deferred protocol 354 4.0.0"}, {"503 no", "deferred protocol 503 4.0.0"},
	} {
		srv := smtptest.Play(t, hello("AUTH PLAIN")+"C: AUTH PLAIN *\nS: "+tt.reply)
		want(t, deliver(t, newClient(t, withLogin("wrong")), newJob(to(srv.Addr()))), tt.want)
	}
}

func TestMechanismThatIsNotForUsIsFollowedByTheNext(t *testing.T) {
	srv := smtptest.Play(t, hello("AUTH LOGIN PLAIN SCRAM-SHA-256")+"C: AUTH SCRAM-SHA-256 *\nS: 504 5.5.4 no\nC: AUTH PLAIN *\nS: 534 5.7.9 no\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: *\nS: 334 UGFzc3dvcmQ6\nC: *\nS: 235 ok"+secret)
	want(t, deliver(t, newClient(t, withLogin(testPassword)), newJob(to(srv.Addr()))), "delivered 250 2.0.0")
}

func TestServerWithoutOurMechanismsDefers(t *testing.T) {
	for _, offered := range [][]string{nil, {"AUTH CRAM-MD5 XOAUTH2"}, {"AUTH"}} {
		srv := smtptest.Play(t, hello(offered...)+"CLOSE")
		outs := deliver(t, newClient(t, withLogin(testPassword)), newJob(to(srv.Addr())))
		want(t, outs, "deferred auth 4.7.8")
		if !strings.Contains(outs[0].Text.ForLog(), "PLAIN") {
			t.Error(outs[0].Text.ForLog())
		}
	}
}

func TestServerThatDoesNotKnowThePasswordIsNotBelieved(t *testing.T) {
	// RFC 5802, section 3: the client verifies the server's signature.
	for _, script := range []string{
		"S: 235 2.7.0 whoever you are",
		"S: 334 dj1tYWRlIHVw",
		"S: 334 " + base64.StdEncoding.EncodeToString([]byte("r=x,s=c2FsdA==,i=4096")),
		"S: 334 " + base64.StdEncoding.EncodeToString([]byte("e=other-error")),
	} {
		srv := smtptest.Play(t, hello("AUTH SCRAM-SHA-256")+"C: AUTH SCRAM-SHA-256 *\n"+script+"\nCLOSE")
		want(t, deliver(t, newClient(t, withLogin(testPassword)), newJob(to(srv.Addr()))), "deferred auth 4.7.8")
	}
}

func TestServerThatWantsEndlessWorkIsLeft(t *testing.T) {
	for _, i := range []string{"1000001", "2147483647", "99999999999999999999"} {
		for _, first := range []string{"s=c2FsdA==,i=" + i, "s=c2FsdA==,i=" + i + ",i=4096", "i=4096,i=" + i} {
			x, err := newExchange(scramSHA256, login{testUser, testPassword})
			if err != nil {
				t.Fatal(err)
			}
			nonce := string(x.first[strings.Index(string(x.first), "r="):])
			x.begin(nil)
			challenge := base64.StdEncoding.EncodeToString([]byte(nonce + "x," + first))
			if _, err := x.answer(nil, replyOf(t, "334 "+challenge)); !errors.Is(err, errIterations) {
				t.Errorf("%s: %v", first, err)
			}
		}
	}
}

func TestPasswordGoesOverVerifiedTLSOnly(t *testing.T) {
	good, roots := smtptest.Authority(t, "mx1.to.test")
	other, otherRoots := smtptest.Authority(t, "other.to.test")
	for _, tt := range []struct {
		name   string
		script string
		cert   int // 0 self-signed, 1 good, 2 of another name
		want   string
	}{
		{"no STARTTLS", hello("AUTH PLAIN") + "CLOSE", 1, "STARTTLS"},
		{"refused", hello("AUTH PLAIN", "STARTTLS") + "C: STARTTLS\nS: 454 4.7.0 not now\nCLOSE", 1, "STARTTLS"},
		{"self-signed", hello("AUTH PLAIN", "STARTTLS") + "C: STARTTLS\nS: 220 go\nLEAVES", 0, "certificate"},
		{"another name", hello("AUTH PLAIN", "STARTTLS") + "C: STARTTLS\nS: 220 go\nLEAVES", 2, "certificate"},
		{"hung up", hello("AUTH PLAIN", "STARTTLS") + "C: STARTTLS\nS: 220 go\nCLOSE", 1, "verified TLS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := smtptest.Play(t, tt.script)
			c := newClient(t, withLogin(testPassword))
			c.roots = roots
			switch tt.cert {
			case 1:
				srv.Certify(good)
			case 2:
				srv.Certify(other)
				c.roots = otherRoots
			}
			outs := deliver(t, c, newJob(away(c, srv.Addr(), 587)))
			want(t, outs, "deferred tls 4.7.5")
			if text := outs[0].Text.ForLog(); !strings.Contains(text, tt.want) || !strings.Contains(text, "transport smtp") {
				t.Error(text)
			}
		})
	}
	sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{"STARTTLS", "AUTH PLAIN"}, Login: logins(t), Certificate: &good})
	c := newClient(t, withLogin(testPassword))
	c.roots = roots
	outs := deliver(t, c, newJob(away(c, sink.Addr(), 587)))
	want(t, outs, "delivered 250 2.0.0")
	if m := sink.Mails()[0]; !m.TLS || m.Login != "PLAIN" {
		t.Errorf("%+v", m)
	}
}

func TestTLSOffIsNoWayAroundVerifiedTLS(t *testing.T) {
	srv := smtptest.Play(t, hello("AUTH PLAIN")+"CLOSE")
	c := newClient(t, withLogin(testPassword), transport("smtp", func(tr *settings.Transport) { tr.TLS = "off" }))
	want(t, deliver(t, c, newJob(away(c, srv.Addr(), 587))), "deferred tls 4.7.5")
}

func TestPort465BeginsWithTLS(t *testing.T) {
	// RFC 8314, section 3.3.
	cert, roots := smtptest.Authority(t, "mx1.to.test")
	for _, user := range []string{testUser, ""} {
		o := smtptest.Options{TLSFirst: true, Extensions: []string{"STARTTLS", "AUTH SCRAM-SHA-256"}, Certificate: &cert}
		if user != "" {
			o.Login = logins(t)
		}
		sink := smtptest.Drink(t, o)
		c := newClient(t, transport("smtp", func(tr *settings.Transport) { tr.Username, tr.Password = user, testPassword }))
		c.roots = roots
		outs := deliver(t, c, newJob(away(c, sink.Addr(), 465)))
		want(t, outs, "delivered 250 2.0.0")
		if outs[0].TLS == "" || !sink.Mails()[0].TLS {
			t.Error("in clear")
		}
	}
	srv := smtptest.Play(t, "BADTLS\nDRAIN") // once: there is nothing in clear to go back to
	c := newClient(t)
	want(t, deliver(t, c, newJob(away(c, srv.Addr(), 465))), "deferred tls 4.7.5")
}

func TestJobsCredentialsComeBeforeTheTransports(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{"AUTH PLAIN"}, Login: logins(t)})
	c := newClient(t, withLogin("wrong"))
	job := newJob(to(sink.Addr()))
	job.Credentials = &proto.Credentials{Username: testUser, Password: testPassword}
	want(t, deliver(t, c, job), "delivered 250 2.0.0")
	want(t, deliver(t, c, newJob(to(sink.Addr()))), "deferred auth 535 4.7.8")
}

func TestOneNameProvesNothingForAnother(t *testing.T) {
	cert, roots := smtptest.Authority(t, "mx1.to.test")
	sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{"STARTTLS", "AUTH PLAIN"}, Login: logins(t), Certificate: &cert})
	c := newClient(t, withLogin(testPassword))
	c.roots = roots
	job := newJob(away(c, sink.Addr(), 587))
	want(t, deliver(t, c, job), "delivered 250 2.0.0")
	job.Hosts[0].Name = "other.to.test" // at the same address
	want(t, deliver(t, c, job), "deferred tls 4.7.5")
}

func TestServerThatAsksWithoutEndIsLeft(t *testing.T) {
	srv := smtptest.Play(t, hello("AUTH LOGIN")+"C: AUTH LOGIN\n"+strings.Repeat("S: 334 Og==\nC: *\n", maxChallenges)+"S: 334 Og==\nCLOSE")
	want(t, deliver(t, newClient(t, withLogin(testPassword)), newJob(to(srv.Addr()))), "deferred auth 4.7.8")
}

func TestUserWithoutPasswordWaits(t *testing.T) {
	outs := deliver(t, newClient(t, withLogin("")), newJob(to(nobody(t))))
	want(t, outs, "deferred internal 4.3.0")
	if !strings.Contains(outs[0].Text.ForLog(), "password_file") {
		t.Error(outs[0].Text.ForLog())
	}
}

func TestLoggedInConnectionIsNobodyElses(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{"AUTH PLAIN"}, Login: func(string) smtptest.Login {
		return sasl.NewPlainServer(func(_, _, _ string) error { return nil })
	}})
	c := newClient(t)
	job := func(user, password string) *proto.RemoteJob {
		j := newJob(to(sink.Addr()))
		j.Credentials = &proto.Credentials{Username: user, Password: password}
		return j
	}
	for range 2 {
		want(t, deliver(t, c, job("a", "b")), "delivered 250 2.0.0")
		want(t, deliver(t, c, job("a", "c")), "delivered 250 2.0.0")
		want(t, deliver(t, c, job("b", "b")), "delivered 250 2.0.0")
	}
	// Who has no name gets a connection without one.
	want(t, deliver(t, c, newJob(to(sink.Addr()))), "failed mail 530 5.7.0")
	var conns []int
	for _, m := range sink.Mails() {
		conns = append(conns, m.Conn)
	}
	if fmt.Sprint(conns) != "[1 2 3 1 2 3]" || sink.Conns() != 4 {
		t.Errorf("connections %v of %d", conns, sink.Conns())
	}
}

// lockedBuffer is a log that several may write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func TestPasswordIsNowhereToBeSeen(t *testing.T) {
	const wrong = "hunter2-and-more"
	var seen lockedBuffer
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + testUser + "\x00" + wrong))
	for _, script := range []string{
		hello("AUTH PLAIN") + "C: AUTH PLAIN *\nS: 535 5.7.8 " + wrong + " is wrong",
		hello("AUTH PLAIN") + "C: AUTH PLAIN *\nS: 535-5.7.8 what is\nS: 535 5.7.8 AUTH PLAIN " + plain,
		hello("AUTH LOGIN") + "C: AUTH LOGIN\nS: 334 Og==\nC: *\nS: 334 Og==\nC: *\nS: 454 4.7.0 " + base64.StdEncoding.EncodeToString([]byte(wrong)),
		hello("AUTH PLAIN") + "C: AUTH PLAIN *\nS: 334 nonsense\nCLOSE",
		hello("AUTH SCRAM-SHA-256") + "C: AUTH SCRAM-SHA-256 *\nS: 334 " + base64.StdEncoding.EncodeToString([]byte(wrong)) + "\nCLOSE",
		hello("AUTH PLAIN") + "C: AUTH PLAIN *\nCLOSE",
		hello("AUTH PLAIN") + "C: AUTH PLAIN *\nS: 235 ok" + secret,
	} {
		srv := smtptest.Play(t, script)
		c := newClient(t)
		c.log = event.New(&seen, "smtp-client", event.Options{Debug: true, Direct: true})
		job := newJob(to(srv.Addr()))
		job.Credentials = &proto.Credentials{Username: testUser, Password: wrong}
		for _, o := range deliver(t, c, job) {
			fmt.Fprintf(&seen, "%+v %s\n", o, o.Text.ForWire())
		}
		fmt.Fprintf(&seen, "%+v %+v %+v\n", c.board.Snapshot(), c.pool.sites, (*c.routes.Load())["smtp"].login)
	}
	c := newClient(t, withLogin(wrong))
	c.log = event.New(&seen, "smtp-client", event.Options{Debug: true, Direct: true})
	fmt.Fprintf(&seen, "%+v\n", deliver(t, c, newJob(away(c, nobody(t), 587))))
	for name := range c.pool.sites {
		fmt.Fprintf(&seen, "%+v %#v\n", name, name)
	}
	text := seen.b.String()
	for _, s := range []string{wrong, plain, base64.StdEncoding.EncodeToString([]byte(wrong))} {
		if strings.Contains(text, s) {
			t.Errorf("%q in\n%s", s, text)
		}
	}
	if !strings.Contains(text, "connected") || !strings.Contains(text, "left out") {
		t.Errorf("nothing was looked at:\n%s", text)
	}
}

func TestCallOutLogsInAsTheTransport(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{"AUTH PLAIN"}, Login: logins(t)})
	a := newClient(t, withLogin(testPassword)).CallOut(t.Context(), newQuery(to(sink.Addr())))
	want(t, []outcome.Outcome{a.Outcome}, "delivered 250 2.1.5")
}

// replyOf is a server's reply of one line.
func replyOf(t testing.TB, line string) smtp.ServerReply {
	t.Helper()
	var p smtp.ReplyParser
	if done, err := p.Feed([]byte(line)); !done || err != nil {
		t.Fatal(done, err)
	}
	return p.Result()
}
