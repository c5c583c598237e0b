package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

// serve runs h on a socket that admits as told, and returns its client.
func serve(t *testing.T, admit *atomic.Bool, h http.HandlerFunc) *http.Client {
	t.Helper()
	path := t.TempDir() + "/s"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, func(ipc.PeerCred) bool { return admit.Load() }, h) }()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &http.Client{Transport: tr}
}

func post(t *testing.T, c *http.Client, body string) (int, string) {
	t.Helper()
	resp, err := c.Post("http://x/", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// order answers with what it decoded.
func order(w http.ResponseWriter, r *http.Request) {
	var q proto.ExplainQuery
	if err := Decode(r, &q); err != nil {
		Fail(w, http.StatusBadRequest, err.Error(), "")
		return
	}
	if int(Peer(r).UID) != os.Getuid() {
		Fail(w, http.StatusInternalServerError, "peer unknown", "")
		return
	}
	Answer(w, http.StatusOK, q)
}

func TestPeersThatAreNotAdmittedGet403(t *testing.T) {
	var admit atomic.Bool
	c := serve(t, &admit, order)
	code, body := post(t, c, `{"address":"a@b.example"}`)
	var e proto.ControlError
	if code != http.StatusForbidden || json.Unmarshal([]byte(body), &e) != nil || e.Error == "" {
		t.Fatalf("%d %s", code, body)
	}
	admit.Store(true)
	if code, body := post(t, c, `{"address":"a@b.example"}`); code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
}

func TestBodiesAreOneKnownObjectAndBounded(t *testing.T) {
	var admit atomic.Bool
	admit.Store(true)
	c := serve(t, &admit, order)
	for name, body := range map[string]string{
		"unknown field": `{"address":"a@b.example","shell":"x"}`,
		"left over":     `{"address":"a@b.example"}{}`,
		"not JSON":      `address=a`,
		"empty":         ``,
		"too long":      `{"address":"` + string(bytes.Repeat([]byte("a"), proto.ControlMax)) + `"}`,
	} {
		if code, answer := post(t, c, body); code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, code, answer)
		}
	}
}
