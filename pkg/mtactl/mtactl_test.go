package mtactl

import (
	"bytes"
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

	"filbert/pkg/config"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// run runs a command line on the instance under dir.
func run(t *testing.T, dir string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	if dir != "" {
		args = append([]string{"-C", dir}, args...)
	}
	code = Main(t.Context(), args, Stdio{In: strings.NewReader(""), Out: &o, Err: &e})
	return code, o.String(), e.String()
}

// instanceDir is a directory short enough for sockets.
func instanceDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "i")
}

func mustInit(t *testing.T, args ...string) (string, settings.Instance) {
	t.Helper()
	dir := instanceDir(t)
	if code, _, errs := run(t, dir, append([]string{"init"}, args...)...); code != 0 {
		t.Fatalf("init: exit %d: %s", code, errs)
	}
	return dir, settings.Private(dir)
}

// serveControl answers on a control socket of an instance.
func serveControl(t *testing.T, inst settings.Instance, name string, h http.HandlerFunc) {
	t.Helper()
	path := inst.Control(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

func answer(t *testing.T, w http.ResponseWriter, status int, v any) {
	t.Helper()
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		t.Error(err)
	}
}

func TestInitMakesAnInstanceThatLoads(t *testing.T) {
	dir, inst := mustInit(t, "--hostname", "mail.test", "--domain", "a.test", "--domain", "b.test",
		"--smtp", "127.0.0.1:2525", "--smtp", "127.0.0.1:0", "--submission", "127.0.0.1:2587",
		"--dns", "127.0.0.1:5353", "--smarthost", "[127.0.0.1]:2600")
	s, problems, err := config.Load(inst.ConfigFile(), inst)
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	switch {
	case s.Hostname != "mail.test",
		strings.Join(s.Domains.Local, " ") != "a.test b.test mail.test localhost",
		len(s.Listen) != 3 || s.Listen[2].Address != "127.0.0.1:2587" || !s.Listen[2].Submission,
		strings.Join(s.DNS.Servers, " ") != "127.0.0.1:5353",
		len(s.Routers) != 1 || s.Routers[0].Hosts[0] != "[127.0.0.1]:2600":
		t.Errorf("a flag got lost: %+v", s)
	}
	err = filepath.Walk(dir, func(path string, st os.FileInfo, err error) error {
		if err == nil && st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s can be reached by others: %v", path, st.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestInitWithoutFlagsLoadsToo(t *testing.T) {
	_, inst := mustInit(t)
	s, _, err := config.Load(inst.ConfigFile(), inst)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Listen) != 0 {
		t.Errorf("listens on %v", s.Listen)
	}
}

func TestInitRefusals(t *testing.T) {
	full := instanceDir(t)
	if err := os.MkdirAll(filepath.Join(full, "photos"), 0o700); err != nil {
		t.Fatal(err)
	}
	there, _ := mustInit(t)
	tests := []struct {
		name, dir string
		args      []string
		code      int
		want      string
	}{
		{"an instance is there", there, nil, exCantCreate, "already"},
		{"other things are there", full, nil, exCantCreate, "photos"},
		{"no directory", "", nil, exUsage, "-C DIR"},
		{"bad hostname", instanceDir(t), []string{"--hostname", "a b"}, exUsage, "--hostname"},
		{"bad domain", instanceDir(t), []string{"--domain", "..."}, exUsage, "--domain"},
		{"bad address", instanceDir(t), []string{"--smtp", "2525"}, exUsage, "--smtp"},
		{"name as address", instanceDir(t), []string{"--smtp", "localhost:25"}, exUsage, "127.0.0.1"},
		{"bad smarthost", instanceDir(t), []string{"--smarthost", "a b"}, exUsage, "hosts"},
		{"path too long for sockets", filepath.Join(instanceDir(t), strings.Repeat("d", 100)), nil, exUsage, "shorter"},
	}
	for _, tt := range tests {
		code, _, errs := run(t, tt.dir, append([]string{"init"}, tt.args...)...)
		if code != tt.code || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: exit %d: %s", tt.name, code, errs)
		}
		if tt.dir != "" && tt.dir != there {
			if _, err := os.Stat(filepath.Join(tt.dir, "etc")); err == nil {
				t.Errorf("%s: something was made all the same", tt.name)
			}
		}
	}
}

func TestMaildirForAllTakesEveryName(t *testing.T) {
	_, inst := mustInit(t, "--domain", "a.test", "--maildir-for-all")
	b, err := os.ReadFile(filepath.Join(inst.Etc, "users"))
	if err != nil || !strings.Contains(string(b), "@a.test") {
		t.Errorf("%v:\n%s", err, b)
	}
}

func TestStatusOfAStoppedSuite(t *testing.T) {
	dir, _ := mustInit(t)
	code, out, _ := run(t, dir, "status")
	if code != exUnavailable || !strings.Contains(out, "does not run") || !strings.Contains(out, dir) {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestHintsNameTheInstance(t *testing.T) {
	dir, _ := mustInit(t)
	code, _, errs := run(t, dir, "queue", "list")
	if code != exUnavailable || !strings.Contains(errs, "mtactl -C "+dir+" start") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func sampleStatus() *proto.Status {
	return &proto.Status{
		Version: "1", Hostname: "mail.test", PID: 7, Started: time.Now().Add(-time.Hour), State: "running",
		Services: []proto.ServiceStatus{
			{Name: "smtpd", State: "running", Processes: []proto.ProcessStatus{{
				PID: 8, Started: time.Now().Add(-time.Minute), State: "running",
				Board: []proto.BoardRow{{Phase: "data", Peer: "192.0.2.1\x1b[2J", Since: time.Now()}},
			}}},
			{Name: "bounce", State: "idle"},
		},
		Listeners: []proto.ListenerStatus{{Name: "mx", Address: "127.0.0.1:2525", Service: "smtpd"}},
	}
}

func TestStatusShowsServicesAndListeners(t *testing.T) {
	dir, inst := mustInit(t)
	serveControl(t, inst, proto.ControlMaster, func(w http.ResponseWriter, r *http.Request) {
		answer(t, w, 200, sampleStatus())
	})
	code, out, errs := run(t, dir, "status", "-v")
	for _, want := range []string{"mail.test", "127.0.0.1:2525", "smtpd", "idle", "data", "pid 7"} {
		if !strings.Contains(out, want) {
			t.Errorf("exit %d: no %q in:\n%s%s", code, want, out, errs)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("a peer's escape sequence reaches the terminal")
	}
	if code, out, _ := run(t, dir, "status", "--json"); code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("exit %d: not JSON: %s", code, out)
	}
}

func TestServiceInBackoffIsATemporaryFailure(t *testing.T) {
	dir, inst := mustInit(t)
	serveControl(t, inst, proto.ControlMaster, func(w http.ResponseWriter, r *http.Request) {
		st := sampleStatus()
		st.Services[1].State, st.Services[1].LastExit = "backoff", "exit status 2"
		answer(t, w, 200, st)
	})
	if code, out, _ := run(t, dir, "status"); code != exTempFail || !strings.Contains(out, "exit status 2") {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestRefusalsOfTheSocketAreExplained(t *testing.T) {
	dir, inst := mustInit(t)
	serveControl(t, inst, proto.ControlMaster, func(w http.ResponseWriter, r *http.Request) {
		answer(t, w, 403, proto.ControlError{Error: "not for you", Hint: "be root"})
	})
	code, _, errs := run(t, dir, "status")
	if code != exNoPerm || !strings.Contains(errs, "not for you") || !strings.Contains(errs, "be root") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestNonsenseFromTheSocketIsAnError(t *testing.T) {
	dir, inst := mustInit(t)
	serveControl(t, inst, proto.ControlMaster, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "<html>")
	})
	if code, _, errs := run(t, dir, "status"); code != exUnavailable || errs == "" {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestReloadShowsMastersProblems(t *testing.T) {
	dir, inst := mustInit(t)
	serveControl(t, inst, proto.ControlMaster, func(w http.ResponseWriter, r *http.Request) {
		answer(t, w, 422, proto.ReloadResult{Problems: []string{"listen on :25: in use"}})
	})
	if code, _, errs := run(t, dir, "reload"); code != exConfig || !strings.Contains(errs, "listen on :25: in use") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestMistakesStopAReloadBeforeMasterIsAsked(t *testing.T) {
	dir, inst := mustInit(t)
	if err := os.WriteFile(inst.ConfigFile(), []byte("hostnam = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	serveControl(t, inst, proto.ControlMaster, func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was asked for", r.URL)
	})
	if code, _, errs := run(t, dir, "reload"); code != exConfig || !strings.Contains(errs, `did you mean "hostname"?`) {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestExplainPrintsTheTrace(t *testing.T) {
	dir, inst := mustInit(t)
	serveControl(t, inst, proto.ControlMaster, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/clock" {
			answer(t, w, 200, proto.ClockAnswer{})
			return
		}
		var q proto.ExplainQuery
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.Address != "x@a.test" || q.Sender != "s@b.test" {
			t.Errorf("%+v, %v", q, err)
		}
		answer(t, w, 200, proto.ExplainAnswer{
			Trace: []proto.Step{{Kind: "address", Name: "x@a.test"},
				{Depth: 1, Kind: "director", Name: "users", Driver: "user", Did: "declined", Why: "no such user"}},
			Leaves: []proto.ExplainLeaf{{Address: "x@a.test", Verdict: "failed", Reason: "no such user"}},
		})
	})
	code, out, errs := run(t, dir, "explain", "x@a.test", "--sender", "s@b.test")
	if code != 0 || !strings.Contains(out, "  director users (user): declined: no such user") || !strings.Contains(out, "refused: no such user") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, _, _ := run(t, dir, "explain"); code != exUsage {
		t.Errorf("explain without an address: exit %d", code)
	}
}

func TestUnknownCommandsAreUsageErrors(t *testing.T) {
	for _, args := range [][]string{{"nonsense"}, {"--nonsense"}, {"status", "extra"}, {"queue", "nonsense"}} {
		if code, _, errs := run(t, "", args...); code != exUsage || errs == "" {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
}

func TestEveryCommandHasHelpWithWords(t *testing.T) {
	a := &app{Stdio: Stdio{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}, ctx: context.Background(), now: time.Now}
	for _, c := range a.command().Commands() {
		if c.Short == "" {
			t.Errorf("%s has no description", c.CommandPath())
		}
		if code, out, _ := run(t, "", c.Name(), "--help"); code != 0 || len(out) < 50 {
			t.Errorf("%s --help: exit %d: %s", c.Name(), code, out)
		}
	}
}

func TestConfigHelpAndShow(t *testing.T) {
	dir, _ := mustInit(t, "--smtp", "127.0.0.1:2525")
	if code, out, _ := run(t, "", "config", "help", "bare_newline"); code != 0 || !strings.Contains(out, "normalize") {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, _, errs := run(t, "", "config", "help", "bare_newlin"); code != exDataErr || !strings.Contains(errs, "did you mean") {
		t.Errorf("exit %d: %s", code, errs)
	}
	code, out, errs := run(t, dir, "config", "show")
	if code != 0 || !strings.Contains(out, `address = "127.0.0.1:2525"`) || !strings.Contains(out, "# filbert.toml:") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, out, _ := run(t, dir, "config", "show", "--json"); code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("exit %d: not JSON: %s", code, out)
	}
}
