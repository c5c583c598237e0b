package mtactl

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filbert/pkg/settings"
)

// install runs tools/install.sh on a tree of empty programs and gives the
// instance it made.
func install(t *testing.T, env ...string) (settings.Instance, string) {
	t.Helper()
	tree, dest := t.TempDir(), t.TempDir()
	for _, name := range []string{"etc/manifest", "etc/filbert.toml.sample", "tools/install.sh"} {
		b, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(tree, name), b)
	}
	entries, err := layout(settings.Installed(), settings.Default().Users)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.kind == kindProg {
			put(t, filepath.Join(tree, "bin", "libexec", filepath.Base(e.path)), []byte("program"))
		}
	}
	inst := settings.Instance{
		Etc: dest + "/etc", Spool: dest + "/spool", DB: dest + "/db", Run: dest + "/run",
		Log: dest + "/log", Mail: dest + "/mail", Libexec: dest + "/libexec",
	}
	cmd := exec.Command(filepath.Join(tree, "tools/install.sh"))
	cmd.Env = append(os.Environ(), "DESTDIR=", "etc="+inst.Etc, "spool="+inst.Spool, "db="+inst.DB, "run="+inst.Run, "log="+inst.Log,
		"mail="+inst.Mail, "libexec="+inst.Libexec, "sbin="+dest+"/sbin", "bin="+dest+"/bin", "man="+dest+"/man")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return inst, string(out)
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestInstallAndManifestAgree: what `make install` makes has the modes that
// `mtactl check` wants.
func TestInstallAndManifestAgree(t *testing.T) {
	inst, _ := install(t)
	entries, err := layout(inst, settings.Default().Users)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.kind == kindLink || e.path == inst.Run || !strings.HasPrefix(e.path, filepath.Dir(inst.Etc)) {
			continue
		}
		st, err := os.Lstat(e.path)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := st.Mode() & os.ModePerm; !e.anyMode && got != e.mode&os.ModePerm {
			t.Errorf("%s has mode %s, the manifest says %s", e.path, octal(got), octal(e.mode))
		}
	}
}

func TestInstallNeverOverwritesAConfiguration(t *testing.T) {
	inst, _ := install(t)
	if b, err := os.ReadFile(inst.ConfigFile()); err != nil || !strings.HasPrefix(string(b), "# filbert.toml") {
		t.Fatalf("%v: %.40q", err, b)
	}
	put(t, inst.ConfigFile(), []byte("hostname = \"mine.example\"\n"))
	install(t, "etc="+inst.Etc)
	if b, err := os.ReadFile(inst.ConfigFile()); err != nil || string(b) != "hostname = \"mine.example\"\n" {
		t.Errorf("%v: %.40q", err, b)
	}
}

// TestNoProgramIsSetIDForAWrongOwner: when the group does not exist, pickup
// must not become set-group-id of whatever group the file has.
func TestNoProgramIsSetIDForAWrongOwner(t *testing.T) {
	inst, out := install(t, "drop=no-such-group")
	st, err := os.Stat(filepath.Join(inst.Libexec, "pickup"))
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode()&(os.ModeSetgid|os.ModeSetuid) != 0 {
		t.Errorf("pickup has mode %s", octal(st.Mode()))
	}
	if os.Geteuid() == 0 && !strings.Contains(out, "no-such-group") {
		t.Errorf("nothing is said about it: %q", out)
	}
}
