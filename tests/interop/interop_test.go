//go:build interop

package interop

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"filbert/tests/script"
)

func TestMain(m *testing.M) {
	clearAway(peersDir())
	os.Exit(m.Run())
}

func TestClients(t *testing.T) { run(t, "clients", "") }

func TestNextHop(t *testing.T) {
	for _, peer := range []string{"postfix", "exim", "opensmtpd"} {
		t.Run(peer, func(t *testing.T) { run(t, "nexthop", peer) })
	}
}

func TestRelay(t *testing.T) {
	for _, peer := range []string{"postfix", "exim", "opensmtpd"} {
		t.Run(peer, func(t *testing.T) { run(t, "relay", peer) })
	}
}

func TestLogin(t *testing.T) {
	for _, peer := range []string{"postfix", "exim"} {
		t.Run(peer, func(t *testing.T) { run(t, "login", peer) })
	}
}

func TestLMTP(t *testing.T) { run(t, "lmtp", "dovecot") }

// run runs the scripts of a directory with one server.
func run(t *testing.T, dir, name string) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Fatal("the servers must be started as root")
	}
	p := script.Params(filepath.Join("testdata", dir), programs(t))
	p.Cmds = maps.Clone(p.Cmds)
	p.Cmds["peer"] = peerCommand
	setup, condition := p.Setup, p.Condition
	p.Setup = func(e *testscript.Env) error {
		if err := setup(e); err != nil {
			return err
		}
		if err := giveEtc(e, filepath.Join("testdata", dir, "etc")); err != nil {
			return err
		}
		return preparePeer(e, name)
	}
	p.Condition = func(cond string) (bool, error) {
		if peer, ok := strings.CutPrefix(cond, "peer:"); ok {
			return peer == name, nil
		}
		return condition(cond)
	}
	testscript.Run(t, p)
}

// giveEtc gives a script the configuration of its directory, where it has no
// file of its own.
func giveEtc(e *testscript.Env, from string) error {
	to := filepath.Join(e.WorkDir, "etc")
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(from, "*"))
	if err != nil {
		return err
	}
	for _, path := range found {
		target := filepath.Join(to, filepath.Base(path))
		if _, err := os.Stat(target); err == nil {
			continue
		}
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(target, text, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// programs are those that make build has built, or those of FILBERT_BIN.
func programs(t *testing.T) string {
	dir := os.Getenv("FILBERT_BIN")
	if dir == "" {
		dir = filepath.Join("..", "..", "bin")
	}
	abs, err := filepath.Abs(dir)
	if err == nil {
		_, err = os.Stat(filepath.Join(abs, "mtactl"))
	}
	if err != nil {
		t.Fatal(fmt.Errorf("make build first: %w", err))
	}
	return abs
}
