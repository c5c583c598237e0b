package admin

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestUserHasSoManyConnectionsAndOthersTheirs(t *testing.T) {
	d := newDoor()
	for range proto.MinePerUser {
		if !d.enter(1) {
			t.Fatal("turned away below the bound")
		}
	}
	if d.enter(1) || !d.enter(2) {
		t.Error("the bound is not each user's own")
	}
	d.leave(1)
	if !d.enter(1) {
		t.Error("a place that came free is not given")
	}
}

func TestManyUserIDsDoNotTakeAllDescriptors(t *testing.T) {
	d := newDoor()
	in := 0
	for uid := range uint32(10_000) {
		if d.enter(uid) {
			in++
		}
	}
	if in != maxGuests {
		t.Errorf("%d came in", in)
	}
	for uid := range uint32(in) {
		d.leave(uid)
	}
	if d.guests != 0 || len(d.inside) != 0 {
		t.Errorf("%d are left inside", d.guests)
	}
}

func TestRequestsAreSoManyAtOnceAndSoManyASecond(t *testing.T) {
	d := newDoor()
	asked := func(uid uint32, now time.Time) (n int) {
		for d.ask(uid, now) == 0 {
			n++
		}
		return n
	}
	if n := asked(1, noon); n != proto.MineBurst {
		t.Errorf("%d at once", n)
	}
	if n := asked(2, noon); n != proto.MineBurst {
		t.Errorf("another user has %d", n)
	}
	if n := asked(1, noon.Add(time.Second)); n != proto.MineRate {
		t.Errorf("%d after a second", n)
	}
	if n := asked(1, noon.Add(time.Hour)); n != proto.MineBurst {
		t.Errorf("%d after an hour", n)
	}
	if wait := d.ask(1, noon.Add(time.Hour)); wait != time.Second/proto.MineRate {
		t.Errorf("told to wait %v", wait)
	}
}

func TestWorkIsPaidFor(t *testing.T) {
	d := newDoor()
	d.charge(1, time.Hour, noon)
	if wait := d.ask(1, noon); wait < 10*time.Second || wait > time.Minute {
		t.Errorf("after an hour of work told to wait %v", wait)
	}
	if d.ask(2, noon) != 0 {
		t.Error("somebody else pays")
	}
}

func TestWhoCameLatelyIsForgotten(t *testing.T) {
	d := newDoor()
	for uid := range uint32(3 * maxBuckets) {
		d.ask(uid, noon.Add(time.Duration(uid)*time.Second))
	}
	if len(d.buckets) > maxBuckets {
		t.Errorf("%d are remembered", len(d.buckets))
	}
}

// usersSocket serves h to everybody, and gives the path.
func usersSocket(t *testing.T, exempt func(ipc.PeerCred) bool, h http.Handler) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ServeUsers(ctx, l, exempt, h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

func nobody(ipc.PeerCred) bool { return false }

func client(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", path)
	}}}
}

func TestHandlerLearnsTheUserFromTheKernel(t *testing.T) {
	path := usersSocket(t, nobody, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Charge(r, time.Millisecond)
		Answer(w, http.StatusOK, Peer(r).UID)
	}))
	resp, err := client(path).Get("http://x/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var uid int
	if err := json.NewDecoder(resp.Body).Decode(&uid); err != nil || uid != os.Getuid() || !resp.Close {
		t.Errorf("uid %d, %v; closed %v", uid, err, resp.Close)
	}
}

func TestOneConnectionTooManyIsToldSoAndTheOthersGoOn(t *testing.T) {
	path := usersSocket(t, nobody, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { Answer(w, http.StatusOK, "yes") }))
	var held []net.Conn
	for range proto.MinePerUser {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held = append(held, c)
	}
	for range 200 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		b, err := io.ReadAll(c)
		c.Close()
		if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 429 ") {
			t.Fatalf("said %q, %v", b, err)
		}
	}
	if _, err := io.WriteString(held[0], "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(held[0]); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 ") {
		t.Errorf("one of the first is told %q, %v", b, err)
	}
}

func TestExemptHaveNoBounds(t *testing.T) {
	path := usersSocket(t, func(ipc.PeerCred) bool { return true }, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Charge(r, time.Hour)
		Answer(w, http.StatusOK, "yes")
	}))
	for range 2 * proto.MineBurst {
		resp, err := client(path).Get("http://x/")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		resp.Body.Close()
	}
}

func TestBodyOfAUserIsBounded(t *testing.T) {
	path := usersSocket(t, nobody, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var v string
		if err := Decode(r, &v); err != nil {
			Fail(w, http.StatusBadRequest, err.Error(), "")
			return
		}
		Answer(w, http.StatusOK, len(v))
	}))
	resp, err := client(path).Post("http://x/", "", strings.NewReader(`"`+strings.Repeat("x", 10*proto.MineMax)+`"`))
	if err != nil {
		return // cut off while it sent: just as well
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", resp.StatusCode)
	}
}
