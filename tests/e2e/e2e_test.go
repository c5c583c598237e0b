package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"filbert/tests/script"
)

func TestE2E(t *testing.T) {
	testscript.Run(t, script.Params("testdata", programs(t)))
}

// programs are those to test: the ones of FILBERT_BIN, or fresh ones.
func programs(t *testing.T) string {
	if dir := os.Getenv("FILBERT_BIN"); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			t.Fatal(err)
		}
		return abs
	}
	bin := t.TempDir()
	for _, step := range [][]string{
		{"build", "-trimpath", "-o", bin + "/", "filbert/cmd/..."},
		{"build", "-trimpath", "-o", bin + "/libexec/", "filbert/libexec/..."},
	} {
		cmd := exec.Command("go", step...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", step, err, out)
		}
	}
	for _, name := range []string{"mailq", "newaliases"} {
		if err := os.Symlink("sendmail", filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}
