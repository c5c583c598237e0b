package admin

import (
	"os"
	"path/filepath"
	"testing"
)

func TestUsersAreNamedAndOthersNumbered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	text := "root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\n# nonsense\n:x:7:7::/:\nann:x:1000:1000:Ann:/home/ann:\nbob:x:minus:1::/:\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	names, err := ReadNames(path)
	if err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[uint32]string{0: "root", 1000: "ann", 7: "uid 7", 1001: "uid 1001"} {
		if got := names.Of(uid); got != want {
			t.Errorf("uid %d is %q, not %q", uid, got, want)
		}
	}
	if _, err := ReadNames(path + "x"); err == nil || Names(nil).Of(3) != "uid 3" {
		t.Error("a file that is not there")
	}
}
