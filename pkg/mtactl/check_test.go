package mtactl

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filbert/pkg/config"
	"filbert/pkg/settings"
)

// examined is what is found on an instance whose programs are all there.
func examined(t *testing.T, inst settings.Instance) *examiner {
	t.Helper()
	inst.Libexec = t.TempDir()
	entries, err := layout(inst, settings.Default().Users)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.kind == kindProg && strings.HasPrefix(e.path, inst.Libexec) {
			if err := os.WriteFile(e.path, nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, _, err := config.Load(inst.ConfigFile(), inst)
	if err != nil {
		t.Fatal(err)
	}
	x := &examiner{s: s, inst: inst}
	x.examine()
	return x
}

func (x *examiner) text() string {
	var b strings.Builder
	for _, f := range x.findings {
		b.WriteString(f.Where + ": " + f.What + "\n")
	}
	return b.String()
}

func TestFreshInstanceIsWell(t *testing.T) {
	_, inst := mustInit(t)
	if x := examined(t, inst); len(x.findings) > 0 {
		t.Error(x.text())
	}
}

func TestFindings(t *testing.T) {
	tests := []struct {
		name string
		harm func(settings.Instance) error
		want string
	}{
		{"a directory is gone", func(i settings.Instance) error { return os.Remove(filepath.Join(i.Spool, "hold")) }, "spool/hold: does not exist"},
		{"others may write", func(i settings.Instance) error { return os.Chmod(i.Etc, 0o777) }, "may be written by others (mode 0777)"},
		{"the configuration may be written", func(i settings.Instance) error { return os.Chmod(i.ConfigFile(), 0o666) }, "filbert.toml: may be written by others"},
		{"a file where a directory was", func(i settings.Instance) error {
			path := filepath.Join(i.Spool, "corrupt")
			return firstError(os.Remove(path), os.WriteFile(path, nil, 0o600))
		}, "is no directory"},
		{"a mistake in the aliases", func(i settings.Instance) error {
			return os.WriteFile(filepath.Join(i.Etc, "aliases"), []byte("a: b\na: c\n"), 0o600)
		}, "etc/aliases:2"},
		{"a mistake in the table of users", func(i settings.Instance) error {
			return os.WriteFile(filepath.Join(i.Etc, "users"), []byte("a b c\n"), 0o600)
		}, "etc/users:1"},
		{"no aliases", func(i settings.Instance) error { return os.Remove(filepath.Join(i.Etc, "aliases")) }, "etc/aliases: "},
		{"a command that is not there", func(i settings.Instance) error {
			return os.WriteFile(filepath.Join(i.Etc, "conf.d", "x.toml"), []byte("[transport.x]\ndriver = \"pipe\"\ncommand = [\"/nowhere/x\"]\n"), 0o600)
		}, "/nowhere/x: the command of transport"},
		{"a source address of another machine", func(i settings.Instance) error {
			return os.WriteFile(filepath.Join(i.Etc, "conf.d", "x.toml"), []byte("[transport.x]\ndriver = \"smtp\"\nsource_addresses = [\"127.0.0.1\", \"192.0.2.99\"]\n"), 0o600)
		}, "192.0.2.99: is no address of this machine"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, inst := mustInit(t)
			if err := tt.harm(inst); err != nil {
				t.Fatal(err)
			}
			x := examined(t, inst)
			if len(x.findings) != 1 || !strings.Contains(x.text(), tt.want) || x.findings[0].Hint == "" {
				t.Errorf("want one finding with %q, got:\n%s", tt.want, x.text())
			}
		})
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestFixMendsWhatCanBeMended(t *testing.T) {
	dir, inst := mustInit(t)
	if err := firstError(os.Remove(filepath.Join(inst.Spool, "hold")), os.Chmod(inst.Spool, 0o777)); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "check", "--fix")
	if x := examined(t, inst); len(x.findings) > 0 {
		t.Error(x.text())
	}
}

func TestPortInUseIsOnlyAWarning(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, inst := mustInit(t, "--smtp", l.Addr().String())
	x := examined(t, inst)
	if len(x.findings) != 1 || x.findings[0].Severity != config.Doubt || !strings.Contains(x.text(), "in use") {
		t.Error(x.text())
	}
}

func TestCheckOfABadConfigurationExits78(t *testing.T) {
	dir, inst := mustInit(t)
	if err := os.WriteFile(inst.ConfigFile(), []byte("[limits]\nhops = \"x\"\nhop = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := run(t, dir, "check")
	if code != exConfig || !strings.Contains(out, "2 mistakes") || !strings.Contains(errs, "filbert.toml:2:8") || !strings.Contains(errs, "filbert.toml:3:1") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// TestManifestNamesEveryProgram holds the manifest against the source tree.
func TestManifestNamesEveryProgram(t *testing.T) {
	inst := settings.Installed()
	entries, err := layout(inst, settings.Default().Users)
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, e := range entries {
		if e.kind == kindProg {
			named = append(named, filepath.Base(e.path))
		}
	}
	for _, tree := range []string{"../../cmd", "../../libexec"} {
		dirs, err := os.ReadDir(tree)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dirs {
			if d.IsDir() && !slices.Contains(named, d.Name()) {
				t.Errorf("%s/%s is not in etc/manifest", tree, d.Name())
			}
		}
	}
}

// TestOnlyPickupIsSetGroupID: no other program may give its caller rights.
func TestOnlyPickupIsSetGroupID(t *testing.T) {
	entries, err := layout(settings.Installed(), settings.Default().Users)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		special := e.mode & (os.ModeSetuid | os.ModeSetgid)
		if e.kind == kindProg && special != 0 && (filepath.Base(e.path) != "pickup" || special != os.ModeSetgid) {
			t.Errorf("%s has mode %s", e.path, octal(e.mode))
		}
		if e.kind == kindDir && e.mode.Perm()&0o002 != 0 {
			t.Errorf("everybody may write to %s", e.path)
		}
	}
}
