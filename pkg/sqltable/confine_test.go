package sqltable

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"filbert/pkg/lookup"
	"filbert/pkg/privsep"
	"filbert/pkg/settings"
)

// confinedEnv makes the test binary a process confined as router is, which asks
// the databases of the directory that is its value.
const confinedEnv = "FILBERT_TEST_CONFINED_SQLITE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(confinedEnv); dir != "" {
		if err := askConfined(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func askConfined(dir string) error {
	tables := map[string]lookup.Table{}
	for _, name := range []string{"plain", "wal", "live"} {
		t, err := Open(settings.Lookup{Type: "sqlite", Path: filepath.Join(dir, name), Query: query})
		if err != nil {
			return err
		}
		tables[name] = t
	}
	spec := privsep.Spec{Read: []string{dir}, Seccomp: privsep.SeccompReader, ConnectTCP: privsep.Ports{53},
		ConnectUDP: privsep.Ports{53}, BindUDP: privsep.AnyPort(), Limits: privsep.Limits{Memory: 1 << 30, NoFile: 2048}}
	report, err := privsep.Confine(spec)
	if err != nil {
		return err
	}
	fmt.Println("landlock", report.LandlockABI > 0)
	for _, key := range []string{"k", "nobody", "k"} {
		a, err := tables["plain"].Find(context.Background(), key)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		fmt.Println(key, a.Found, a.Values)
	}
	_, err = tables["wal"].Find(context.Background(), "k")
	fmt.Println("wal:", err)
	a, err := tables["live"].Find(context.Background(), "k")
	fmt.Println("live:", a.Values, err)
	return nil
}

func TestLookupsUnderTheConfinementOfRouter(t *testing.T) {
	dir := t.TempDir()
	row := "INSERT INTO t VALUES ('k', 'v', 'w', 1)"
	write(t, filepath.Join(dir, "plain"), row)
	write(t, filepath.Join(dir, "wal"), "PRAGMA journal_mode=WAL", row)
	// A writer at work has made the files beside it that a reader needs.
	live := filepath.Join(dir, "live")
	write(t, live, "PRAGMA journal_mode=WAL", row)
	writer, err := sql.Open("sqlite", live)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := writer.Exec("INSERT INTO t VALUES ('k', 'late', NULL, 2)"); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), confinedEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	text := string(out)
	if strings.Contains(text, "CGO_ENABLED") {
		t.Skip("built with cgo: run with CGO_ENABLED=0")
	}
	if err != nil || !strings.Contains(text, "k true [v w]\nnobody false []\nk true [v w]\n") {
		t.Errorf("%v\n%s", err, text)
	}
	if !strings.Contains(text, "live: [v w late] <nil>") {
		t.Errorf("WAL with a writer: %s", text)
	}
	if strings.Contains(text, "landlock true") && !strings.Contains(text, "journal_mode=DELETE") {
		t.Errorf("WAL: %s", text)
	}
}
