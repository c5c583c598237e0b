package root

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// What is not in force yet may name any file and any table: root reads none of them for it.
func TestStagedRoutesAreFoundByRoutersUser(t *testing.T) {
	s := started(t)
	subject := unique(t, "x")
	s.send(t, "fbtest2@root.test", "fbtest1@root.test", subject)
	s.delivered(t, "fbtest1", subject)
	text, err := os.ReadFile(s.etc("filbert.toml"))
	if err != nil {
		t.Fatal(err)
	}
	secret := s.etc("secret-aliases")
	if err := os.WriteFile(secret, []byte("fbtest1: fbtest2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(secret) })
	staged := s.path("staged.toml")
	routes := func(change string) (out struct{ Addresses, Different, Unknown int }) {
		t.Helper()
		if err := os.WriteFile(staged, []byte(strings.Replace(string(text), `file = "aliases"`, change, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		answer := s.mtactl(t, "simulate", "--past", "1h", "--routes", "--config", staged, "--json")
		if err := json.Unmarshal([]byte(answer), &out); err != nil {
			t.Fatalf("%v: %s", err, answer)
		}
		return out
	}
	eventually(t, func() (bool, string) {
		got := routes(`file = "aliases"`)
		return got.Addresses > 0, "the history has a recipient"
	})
	if got := routes(`file = "aliases"`); got.Different != 0 {
		t.Errorf("the same configuration: %+v", got)
	}
	if got := routes(`file = "` + secret + `"`); got.Different != 0 || got.Unknown == 0 {
		t.Errorf("a file that only root may read: %+v", got)
	}
	if err := os.Chmod(secret, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := routes(`file = "` + secret + `"`); got.Different == 0 {
		t.Errorf("a file that everybody may read: %+v", got)
	}
}
