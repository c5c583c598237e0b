package sqltable

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filbert/pkg/lookup"
	"filbert/pkg/settings"
)

const query = "SELECT v, w FROM t WHERE k={key} ORDER BY n"

// write makes a database.
func write(t *testing.T, path string, statements ...string) {
	t.Helper()
	u := url.URL{Scheme: "file", Path: path}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range append([]string{"CREATE TABLE t (k TEXT, v TEXT, w TEXT, n INTEGER)"}, statements...) {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func open(t *testing.T, path, query string) lookup.Table {
	t.Helper()
	table, err := Open(settings.Lookup{Type: "sqlite", Path: path, Query: query, Timeout: settings.Duration(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	return table
}

func wants(t *testing.T, table lookup.Table, key string, found bool, values ...string) {
	t.Helper()
	a, err := table.Find(context.Background(), key)
	if err != nil || a.Found != found || !slices.Equal(a.Values, values) {
		t.Errorf("%q: got %+v, %v, want %v %q", key, a, err, found, values)
	}
}

func TestRowsOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd ?#%name.db")
	write(t, path, `INSERT INTO t VALUES ('joe@a.org', 'x@b.org', NULL, 2), ('joe@a.org', 'y@b.org', 'and more', 1),
		('none', NULL, 'w', 1), ('jürgen@a.org', 'zoë@b.org', NULL, 1), ('number', 42, NULL, 1), ('', 'empty', NULL, 1)`)
	table := open(t, path, query)
	wants(t, table, "joe@a.org", true, "y@b.org and more", "x@b.org")
	wants(t, table, "none", true)
	wants(t, table, "jürgen@a.org", true, "zoë@b.org")
	wants(t, table, "number", true, "42")
	wants(t, table, "", false)
	wants(t, table, "nobody", false)
	for _, key := range []string{"x' or '1'='1", `x" or 1=1 --`, "'; DROP TABLE t; --", "?", "{key}", "%", strings.Repeat("x", 2000), "a\x00b", "\xff"} {
		wants(t, table, key, false)
	}
	wants(t, table, "number", true, "42")
	if a, err := table.Find(context.Background(), "none"); err != nil || a.Where != "sqlite "+path {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestPartsOfAnAddressAreBound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	write(t, path, `INSERT INTO t VALUES ('joe', 'a.org', 'x', 1)`)
	table := open(t, path, "SELECT w FROM t WHERE k={local_part} AND v={domain}")
	wants(t, table, "joe@a.org", true, "x")
	wants(t, table, "joe", false)
	wants(t, table, "@a.org", false)
}

func TestWritingIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	write(t, path)
	table := open(t, path, "INSERT INTO t (k) VALUES ({key}) RETURNING k")
	if a, err := table.Find(context.Background(), "x"); err == nil {
		t.Errorf("got %+v", a)
	}
}

func TestAFileInItsPlaceIsOpenedAnew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	write(t, path, "INSERT INTO t VALUES ('k', 'old', NULL, 1)")
	table := open(t, path, query)
	wants(t, table, "k", true, "old")
	write(t, path+".new", "INSERT INTO t VALUES ('k', 'new', NULL, 1)")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if a, err := table.Find(context.Background(), "k"); err != nil || len(a.Values) != 1 {
					t.Errorf("while it is replaced: got %+v, %v", a, err)
				}
			}
		})
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	wants(t, table, "k", true, "new")
}

func TestAnAbsentOrBrokenFileIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	table := open(t, path, query)
	if _, err := table.Find(context.Background(), "k"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: got %v", err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database", 100)), 0o644); err != nil {
		t.Fatal(err)
	}
	if a, err := table.Find(context.Background(), "k"); err == nil {
		t.Errorf("broken: got %+v", a)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Find(context.Background(), "k"); !errors.Is(err, lookup.ErrUnfit) {
		t.Errorf("a directory: got %v", err)
	}
}

func TestValuesThatCannotBeUsedAreAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	write(t, path, `INSERT INTO t VALUES ('line', 'a'||char(10)||'b', NULL, 1), ('blob', x'ff', NULL, 1), ('long', hex(zeroblob(40000)), NULL, 1)`)
	table := open(t, path, query)
	for _, key := range []string{"line", "blob", "long"} {
		if a, err := table.Find(context.Background(), key); !errors.Is(err, lookup.ErrUnusable) {
			t.Errorf("%s: got %d values, %v", key, len(a.Values), err)
		}
	}
}

func TestTooManyRowsAreAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	write(t, path)
	table := open(t, path, "WITH RECURSIVE r(n, k) AS (SELECT 1, {key} UNION ALL SELECT n+1, k FROM r) SELECT n FROM r")
	if _, err := table.Find(context.Background(), "k"); !errors.Is(err, lookup.ErrUnusable) {
		t.Errorf("got %v", err)
	}
}

func TestAQueryWithoutEndEndsWithItsTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	write(t, path)
	table := open(t, path, "WITH RECURSIVE r(n, k) AS (SELECT 1, {key} UNION ALL SELECT n+1, k FROM r) SELECT n FROM r WHERE n < 0")
	ctx, cancel := context.WithCancel(context.Background())
	go cancel()
	if _, err := table.Find(ctx, "k"); err == nil {
		t.Error("it ended")
	}
}

func TestWALWithoutAWriterSaysWhatToDo(t *testing.T) {
	if os.Getuid() == 0 {
		// Root may write anywhere; the confinement of router is what forbids it: see
		// TestLookupsUnderTheConfinementOfRouter.
		t.Skip("must not be root")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	write(t, path, "PRAGMA journal_mode=WAL", "INSERT INTO t VALUES ('k', 'v', NULL, 1)")
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	table := open(t, path, query)
	if _, err := table.Find(context.Background(), "k"); err == nil || !strings.Contains(err.Error(), "journal_mode=DELETE") {
		t.Errorf("got %v", err)
	}
}

func TestOpenRefusesWhatIsWrong(t *testing.T) {
	good := settings.Lookup{Type: "pgsql", Servers: []string{"localhost"}, Username: "u", Query: "SELECT {key}"}
	for name, change := range map[string]func(*settings.Lookup){
		"no servers":            func(s *settings.Lookup) { s.Servers = nil },
		"no username":           func(s *settings.Lookup) { s.Username = "" },
		"is no SQL":             func(s *settings.Lookup) { s.Type = "ldap" },
		"leave out the quotes":  func(s *settings.Lookup) { s.Query = "SELECT '{key}'" },
		"read ca_file":          func(s *settings.Lookup) { s.TLS, s.CAFile = "on", "/nonexistent" },
		`"off", "on" or "start`: func(s *settings.Lookup) { s.TLS = "yes" },
		"not absolute":          func(s *settings.Lookup) { s.Type, s.Path = "sqlite", "x.db" },
	} {
		set := good
		change(&set)
		if _, err := Open(set); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestTheEnvironmentIsNotObeyed(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".pgpass"), []byte("*:*:*:*:stolen\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	for k, v := range map[string]string{"PGHOST": "evil.example", "PGPASSWORD": "p", "PGSSLMODE": "nonsense", "PGPORT": "1",
		"PGOPTIONS": "-c x=y", "PGUSER": "evil", "PGTARGETSESSIONATTRS": "nonsense", "PGSSLROOTCERT": "/nonexistent",
		"PGMINPROTOCOLVERSION": "9", "PGREQUIREAUTH": "none", "PGCONNECT_TIMEOUT": "x", "PGTZ": "UTC", "PGAPPNAME": "x"} {
		t.Setenv(k, v)
	}
	c, err := configure(settings.Lookup{Type: "pgsql", Username: "u"}, lookup.Server{Network: "tcp", Host: "db.example", Port: 5432}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Host != "db.example" || c.Port != 5432 || c.User != "u" || c.Database != "u" || c.Password != "" || c.TLSConfig != nil ||
		len(c.Fallbacks) > 0 || c.ValidateConnect != nil || len(c.RuntimeParams) != 3 || c.SSLNegotiation != "postgres" || c.RequireAuth != "" {
		t.Errorf("got %+v", c.Config)
	}
}
