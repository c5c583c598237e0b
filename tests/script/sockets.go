package script

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// control speaks HTTP to a control socket, like curl.
func control(ts *testscript.TestScript, neg bool, args []string) {
	o, args := options(ts, args)
	usage(ts, !neg && (len(args) == 2 || len(args) == 3), "control [-socket NAME] METHOD PATH [BODYFILE]")
	w, name := worldOf(ts), o["socket"]
	if name == "" {
		name = "qmgr"
	}
	var body io.Reader = http.NoBody
	if len(args) == 3 {
		body = strings.NewReader(read(ts, args[2]))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, args[0], "http://filbert"+args[1], body)
	ts.Check(err)
	if len(args) == 3 {
		req.Header.Set("Content-Type", "application/json")
	}
	socket := filepath.Join(w.inst, "run", "control", name)
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
	res, err := c.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%d\n%s\n", res.StatusCode, b)
}

// octets sends what no client of ours would and waits until it is cut off.
func octets(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "octets SOCKET FILE")
	raw, err := unescape(strings.ReplaceAll(strings.TrimSpace(read(ts, args[1])), "\n", ""))
	ts.Check(err)
	c, err := net.DialTimeout("unix", filepath.Join(worldOf(ts).inst, args[0]), patience)
	ts.Check(err)
	defer c.Close()
	ts.Check(c.SetDeadline(time.Now().Add(patience)))
	if _, err := io.WriteString(c, raw); err != nil {
		return // cut off already
	}
	if u, ok := c.(*net.UnixConn); ok {
		_ = u.CloseWrite()
	}
	b, err := io.ReadAll(io.LimitReader(c, 1<<20))
	if t, ok := err.(net.Error); ok && t.Timeout() {
		ts.Fatalf("%s stays open after these octets", args[0])
	}
	fmt.Fprintf(ts.Stdout(), "%q\n", b)
}
