package qmgr

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/ledger"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/service/admin"
	"filbert/pkg/smtp"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

// own files a message that a user of this machine handed in.
func (r *rig) own(id queueid.ID, uid int64, kind outcome.Kind, recipients ...string) {
	r.t.Helper()
	env := &envelope.Envelope{
		ID: id, Source: envelope.FromLocal, Arrived: noon, Size: 4, Sender: mailaddr.MustParse("ann@here.example"),
		Client: envelope.Client{UID: uid},
	}
	m := spool.Message{ID: id, Content: []byte("x\r\n\r\n")}
	for i, a := range recipients {
		env.Recipients = append(env.Recipients, envelope.Recipient{Address: mailaddr.MustParse(a)})
		o := outcome.Outcome{Class: outcome.Deferred, Kind: kind, Status: smtp.Status{Class: 4, Subject: 4, Detail: 1}, Remote: "mx.far.test", Text: untrusted.From("450 not now")}
		m.Log = append(m.Log, spool.LineOf(noon.Add(time.Minute), i, ledger.KeyText(&env.Recipients[i]), o))
	}
	m.Envelope = env.Marshal()
	if err := r.q.spool.File(spool.Deferred, &m); err != nil {
		r.t.Fatal(err)
	}
}

// people has the rig serve users over a real socket; the peer is who runs the
// test, and everybody's mail is his if he is an administrator.
func (r *rig) people(administrator bool) *http.Client {
	r.t.Helper()
	r.q.people = newPeople(func(ipc.PeerCred) bool { return administrator })
	r.q.loadAll(r.t.Context())
	path := filepath.Join(r.t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		// No bounds: tests ask faster than people.
		_ = admin.ServeUsers(ctx, l, func(ipc.PeerCred) bool { return true }, r.q.mineHandler())
	}()
	r.t.Cleanup(func() {
		cancel()
		<-done
		r.q.wg.Wait()
	})
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", path)
	}}}
}

// ask sends a request and decodes the answer if it is a success; else it gives the
// status and the whole answer.
func (r *rig) ask(c *http.Client, method, path, body string, v any) (int, string) {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://x"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var said strings.Builder
	d := json.NewDecoder(bufio.NewReader(&tee{resp.Body, &said}))
	if v != nil && resp.StatusCode == http.StatusOK {
		if err := d.Decode(v); err != nil {
			r.t.Fatal(err)
		}
	}
	for d.More() {
		var rest json.RawMessage
		if d.Decode(&rest) != nil {
			break
		}
	}
	return resp.StatusCode, said.String()
}

type tee struct {
	r interface{ Read([]byte) (int, error) }
	b *strings.Builder
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.b.Write(p[:n])
	return n, err
}

// drops has dispatch drop recipients as it does, and everything else as obey does.
func (r *rig) drops(d *proto.Due) proto.Settled {
	if d.Action != proto.DueDrop {
		return r.obey(d)
	}
	m, err := r.q.read(spool.Deferred, d.ID)
	if err != nil {
		return proto.Settled{State: proto.SettledMissing}
	}
	var lines []spool.LogLine
	for _, n := range d.Recipients {
		lines = append(lines, spool.LogLine{Time: r.now, Verb: spool.Cancelled, Recipient: int(n), Address: ledger.KeyText(&m.env.Recipients[n])})
	}
	if err := r.q.spool.AppendLog(spool.Deferred, d.ID, lines); err != nil {
		r.t.Error(err)
	}
	if len(d.Recipients) == len(m.book.Waiting()) {
		return proto.Settled{State: proto.SettledGone}
	}
	return proto.Settled{State: proto.SettledWaiting}
}

func me() int64 { return int64(os.Getuid()) }

const (
	mine   queueid.ID = 1 << 40
	theirs queueid.ID = 2 << 40
)

func TestUserSeesHisOwnMailAlone(t *testing.T) {
	r := newRig(t)
	r.own(mine, me(), outcome.Refused, "friend@far.test")
	r.own(theirs, me()+1, outcome.Refused, "secret@far.test")
	r.file(3<<40, "ann@here.example", "b@x.example", noon) // by SMTP
	c := r.people(false)
	var item proto.MineItem
	code, body := r.ask(c, "GET", "/v1/mine", "", &item)
	if code != 200 || strings.Count(body, "\n") != 1 || item.ID != mine.String() {
		t.Fatalf("%d %s", code, body)
	}
	rc := item.Recipients[0]
	if item.State != "waiting" || item.NextAttempt == nil || item.GiveUpAt == nil || rc.Address != "friend@far.test" ||
		rc.Why != "far.test (server mx.far.test) has refused connections" || rc.Since == nil || !rc.Since.Equal(noon.Add(time.Minute)) {
		t.Errorf("%s", body)
	}
	if code, _ := r.ask(c, "GET", "/v1/mine?all=1", "", nil); code != http.StatusForbidden {
		t.Errorf("everybody's mail for everybody: %d", code)
	}
}

func TestAdministratorSeesAndCancelsEverybodys(t *testing.T) {
	r := newRig(t)
	r.say = r.drops
	r.own(mine, me(), outcome.Refused, "friend@far.test")
	r.own(theirs, me()+1, outcome.Refused, "secret@far.test")
	c := r.people(true)
	if _, body := r.ask(c, "GET", "/v1/mine?all=1", "", nil); strings.Count(body, "\n") != 2 {
		t.Error(body)
	}
	if _, body := r.ask(c, "GET", "/v1/mine", "", nil); strings.Count(body, "\n") != 1 {
		t.Errorf("his own are %s", body)
	}
	if code, body := r.ask(c, "GET", "/v1/mine/"+theirs.String(), "", nil); code != 200 {
		t.Error(body)
	}
	var res proto.MineCancelled
	if code, body := r.ask(c, "POST", "/v1/mine/cancel", `{"id":"`+theirs.String()+`"}`, &res); code != 200 || res.State != "cancelled" {
		t.Errorf("%d %s", code, body)
	}
}

// What is somebody else's can't be told from what is not there.
func TestOthersMailLooksLikeNone(t *testing.T) {
	r := newRig(t)
	r.own(theirs, me()+1, outcome.Refused, "secret@far.test")
	r.file(3<<40, "ann@here.example", "b@x.example", noon)
	c := r.people(false)
	const none = queueid.ID(9 << 40)
	for _, ask := range []func(id string) (int, string){
		func(id string) (int, string) { return r.ask(c, "GET", "/v1/mine/"+id, "", nil) },
		func(id string) (int, string) { return r.ask(c, "POST", "/v1/mine/cancel", `{"id":"`+id+`"}`, nil) },
		func(id string) (int, string) {
			return r.ask(c, "POST", "/v1/mine/cancel", `{"id":"`+id+`","recipients":["secret@far.test"]}`, nil)
		},
	} {
		wantCode, want := ask(none.String())
		if wantCode != http.StatusNotFound {
			t.Fatalf("%d %s", wantCode, want)
		}
		for _, id := range []string{theirs.String(), queueid.ID(3 << 40).String(), "zzz", strings.Repeat("0", 3000)} {
			if code, body := ask(id); code != wantCode || body != want {
				t.Errorf("%.20s: %d %s, want %s", id, code, body, want)
			}
		}
	}
	if len(r.dues) != 0 {
		t.Errorf("dispatch was asked for %+v", r.dues)
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	r := newRig(t)
	r.own(mine, me(), outcome.Refused, "friend@far.test")
	c := r.people(false)
	for body, want := range map[string]int{
		"": 400, "[]": 400, `{"id":"x","uid":0}`: 400, `{"id":"` + mine.String() + `"} {}`: 400,
		`{"id":"` + mine.String() + `","recipients":["nobody@far.test"]}`:                              422,
		`{"id":"` + mine.String() + `","recipients":["` + strings.Repeat("x", 2*proto.MineMax) + `"]}`: 400,
	} {
		if code, said := r.ask(c, "POST", "/v1/mine/cancel", body, nil); code != want {
			t.Errorf("%.60s: %d %s", body, code, said)
		}
	}
	for _, path := range []string{"/v1/mine?all=2", "/v1/mine?uid=0"} {
		if code, _ := r.ask(c, "GET", path, "", nil); code != 400 {
			t.Errorf("%s: %d", path, code)
		}
	}
	if code, _ := r.ask(c, "GET", "/v1/queue", "", nil); code != 404 {
		t.Errorf("the administrators' list: %d", code)
	}
}

func TestCancelledRecipientsAreDroppedAndTheOthersWait(t *testing.T) {
	r := newRig(t)
	r.say = r.drops
	r.own(mine, me(), outcome.Refused, "a@far.test", "b@far.test")
	c := r.people(false)
	due := r.q.sched.all.get(mine).due
	var res proto.MineCancelled
	code, body := r.ask(c, "POST", "/v1/mine/cancel", `{"id":"`+mine.String()+`","recipients":["A@far.test"]}`, &res)
	if code != 200 || res.State != "partly" || len(res.Cancelled) != 1 || res.Said != "Cancelled for 1 recipient; the others still wait." {
		t.Fatalf("%d %s", code, body)
	}
	e := r.q.sched.all.get(mine)
	if e == nil || e.state != waiting || e.due != due || e.waiting != 1 || len(r.q.cancels) != 0 {
		t.Fatalf("entry %+v", e)
	}
	var m proto.MineMessage
	r.ask(c, "GET", "/v1/mine/"+mine.String(), "", &m)
	if len(m.Recipients) != 1 || len(m.Done) != 1 || m.Done[0].State != "cancelled" || m.Log[len(m.Log)-1].What != "cancelled" {
		t.Errorf("%+v", m)
	}
	r.ask(c, "POST", "/v1/mine/cancel", `{"id":"`+mine.String()+`","recipients":["a@far.test"]}`, &res)
	if res.State != "too-late" {
		t.Errorf("cancelled twice: %+v", res)
	}
	r.ask(c, "POST", "/v1/mine/cancel", `{"id":"`+mine.String()+`"}`, &res)
	if res.State != "cancelled" || r.q.sched.all.get(mine) != nil || len(r.q.sched.owned) != 0 {
		t.Errorf("%+v; owned %v", res, r.q.sched.owned)
	}
	if d := r.dues[0]; d.Action != proto.DueDrop || d.Reason != fmt.Sprintf("uid %d", os.Getuid()) || len(d.Recipients) != 1 {
		t.Errorf("dispatch was asked for %+v", d)
	}
}

func TestAttemptUnderWayIsWaitedForAndSaidSo(t *testing.T) {
	r := newRig(t)
	r.own(mine, me(), outcome.Refused, "a@far.test", "b@far.test")
	c := r.people(false)
	began, goOn := make(chan struct{}), make(chan struct{})
	first := true
	r.q.dispatch = callerFunc(func(req, reply ipc.Message) error {
		due, left := req.(*proto.Due), reply.(*proto.Settled)
		if !first {
			*left = r.drops(due)
			return nil
		}
		first = false
		close(began)
		<-goOn
		// The attempt served one of them.
		line := spool.LineOf(noon.Add(time.Hour), 0, untrusted.From("a@far.test"), outcome.Outcome{Class: outcome.Delivered})
		if err := r.q.spool.AppendLog(spool.Deferred, due.ID, []spool.LogLine{line}); err != nil {
			t.Error(err)
		}
		*left = proto.Settled{State: proto.SettledWaiting, Summary: proto.Summary{ID: due.ID, Arrived: noon.Unix(), Attempts: 2, Waiting: 1, Owner: proto.OwnerUID(uint32(me()))}}
		return nil
	})
	r.mu.Lock()
	r.now = noon.Add(time.Hour)
	r.mu.Unlock()
	r.q.startDue(t.Context(), make(chan struct{}, 1))
	<-began
	var item proto.MineItem
	if r.ask(c, "GET", "/v1/mine", "", &item); item.State != "delivering" {
		t.Errorf("%+v", item)
	}
	got := make(chan proto.MineCancelled, 1)
	go func() {
		var res proto.MineCancelled
		r.ask(c, "POST", "/v1/mine/cancel", `{"id":"`+mine.String()+`"}`, &res)
		got <- res
	}()
	for waits := false; !waits; {
		r.q.mu.Lock()
		waits = r.q.cancels[mine] != nil
		r.q.mu.Unlock()
	}
	if code, body := r.ask(c, "POST", "/v1/mine/cancel", `{"id":"`+mine.String()+`"}`, nil); code != http.StatusConflict {
		t.Errorf("two cancel it: %d %s", code, body)
	}
	close(goOn)
	res := <-got
	if !res.Waited || res.State != "cancelled" || len(res.Cancelled) != 1 || res.Cancelled[0] != "b@far.test" || len(res.TooLate) != 1 {
		t.Errorf("%+v", res)
	}
	if want := "It was being delivered just now. Cancelled: nobody else will get it. For 1 recipient it was too late."; res.Said != want {
		t.Errorf("said %q", res.Said)
	}
}

func TestAttemptThatEndsTheMessageLeavesNothingToCancel(t *testing.T) {
	r := newRig(t)
	r.own(mine, me(), outcome.Refused, "a@far.test")
	c := r.people(false)
	r.q.mu.Lock()
	e := r.q.sched.all.get(mine)
	e.state = active
	r.q.mu.Unlock()
	got := make(chan proto.MineCancelled, 1)
	go func() {
		var res proto.MineCancelled
		r.ask(c, "POST", "/v1/mine/cancel", `{"id":"`+mine.String()+`"}`, &res)
		got <- res
	}()
	for waits := false; !waits; {
		r.q.mu.Lock()
		waits = r.q.cancels[mine] != nil
		r.q.mu.Unlock()
	}
	r.q.attempt(t.Context(), e, &proto.Due{ID: mine, Action: proto.DueAttempt}) // delivered
	if res := <-got; res.State != "too-late" || !res.Waited || res.Said != "It was being delivered just now. There was nothing left to cancel." {
		t.Errorf("%+v", res)
	}
}

func TestHeldMessageIsNotTheUsersToCancel(t *testing.T) {
	r := newRig(t)
	r.own(mine, me(), outcome.Refused, "a@far.test")
	if err := r.q.spool.Move(mine, spool.Deferred, spool.Hold); err != nil {
		t.Fatal(err)
	}
	c := r.people(false)
	if code, body := r.ask(c, "POST", "/v1/mine/cancel", `{"id":"`+mine.String()+`"}`, nil); code != http.StatusConflict {
		t.Errorf("%d %s", code, body)
	}
	var item proto.MineItem
	if r.ask(c, "GET", "/v1/mine", "", &item); item.State != "held" || item.Recipients[0].Why != "an administrator has put it on hold" || item.NextAttempt != nil {
		t.Errorf("%+v", item)
	}
}

func TestLongListIsCutAndSaysSo(t *testing.T) {
	r := newRig(t)
	for i := range proto.MineMaxItems + 7 {
		r.own(mine+queueid.ID(i), me(), outcome.Refused, "a@far.test")
	}
	c := r.people(false)
	_, body := r.ask(c, "GET", "/v1/mine", "", nil)
	if n := strings.Count(body, "\n"); n != proto.MineMaxItems+1 || !strings.Contains(body, `"more":7`) {
		t.Errorf("%d lines", n)
	}
}

// What an alias stands for is not the sender's to see, and he cancels what he wrote.
func TestExpandedRecipientIsShownAsTheSenderWroteIt(t *testing.T) {
	rc := envelope.Recipient{Address: mailaddr.MustParse("private@secret.example"), Lineage: []mailaddr.Address{mailaddr.MustParse("staff@here.example")}}
	o := &outcome.Outcome{Class: outcome.Deferred, Kind: outcome.RcptRefused, Remote: "mx.secret.example", Text: untrusted.From("<private@secret.example> later")}
	line := &spool.LogLine{Verb: spool.DeferredV, Outcome: *o}
	for _, words := range []string{given(&rc), whyWaits(o, &rc), replyOf(o, &rc), whatHappened(line, &rc)} {
		if strings.Contains(words, "secret") {
			t.Error(words)
		}
	}
}

func TestSummaryKeepsItsOwner(t *testing.T) {
	env := &envelope.Envelope{Source: envelope.FromLocal, Client: envelope.Client{UID: 0}}
	if proto.OwnerOf(env) != proto.OwnerUID(0) || proto.OwnerUID(0) == 0 {
		t.Error("root's mail is nobody's, or nobody's is root's")
	}
	for _, env := range []*envelope.Envelope{
		{Source: envelope.FromSMTP, Client: envelope.Client{UID: 0}},
		{Source: envelope.FromBounce, Client: envelope.Client{UID: -1}},
		{Source: envelope.FromLocal, Client: envelope.Client{UID: -1}},
		{Source: envelope.FromLocal, Client: envelope.Client{UID: 1<<32 - 1}},
	} {
		if o := proto.OwnerOf(env); o != 0 {
			t.Errorf("%+v belongs to %d", env, o)
		}
	}
}

// The list costs memory and time for one's own mail, not for that of others.
func TestOwnersAreForgottenWithTheirMail(t *testing.T) {
	r := newRig(t)
	for i := range 10 {
		r.own(mine+queueid.ID(i), me(), outcome.Refused, "a@far.test")
	}
	r.people(false)
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	if n := len(r.q.sched.owned[proto.OwnerUID(uint32(me()))]); n != 10 {
		t.Fatalf("%d owned", n)
	}
	for _, e := range slices.Collect(r.q.sched.all.after(0)) {
		r.q.sched.drop(e)
	}
	if len(r.q.sched.owned) != 0 {
		t.Errorf("owned %v", r.q.sched.owned)
	}
}

// The hold came while the user waited for the end of an attempt.
func TestCancelDoesNotTouchWhatWasHeldMeanwhile(t *testing.T) {
	r := newRig(t)
	r.say = r.drops
	r.own(mine, me(), outcome.Refused, "a@far.test")
	r.people(false)
	r.q.mu.Lock()
	e := r.q.sched.all.get(mine)
	r.q.sched.unqueue(e)
	e.state = held
	r.q.mu.Unlock()
	res, err := r.q.cancel(t.Context(), &cancelling{e: e, by: "uid 1500"})
	if !errors.Is(err, errOnHold) || res != nil || len(r.dues) != 0 || e.state != held {
		t.Errorf("%+v, %v; dispatch was asked for %+v", res, err, r.dues)
	}
}
