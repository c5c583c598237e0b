package localdeliver

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filbert/pkg/proto"
)

// measured asks about mailboxes.
func measured(t *testing.T, boxes ...proto.MeasureMailbox) map[string]proto.Measured {
	t.Helper()
	question, err := json.Marshal(proto.MeasureQuery{Mailboxes: boxes})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Measure(bytes.NewReader(question), &out); err != nil {
		t.Fatal(err)
	}
	answers := map[string]proto.Measured{}
	for line := range strings.Lines(out.String()) {
		var m proto.Measured
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		answers[filepath.Base(m.Path)] = m
	}
	return answers
}

func TestMailboxesAreMeasured(t *testing.T) {
	path, _ := aMaildir(t)
	dir := t.TempDir()
	if err := os.Rename(path, filepath.Join(dir, "ann")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "bob"), "From x\n\nx\n\n")
	write(t, filepath.Join(dir, ".bob.filbert-warned"), "2026-10-05T10:00:00Z\n")
	if err := os.Symlink("/nonexistent/x", filepath.Join(dir, "carl")); err != nil {
		t.Fatal(err)
	}
	got := measured(t,
		proto.MeasureMailbox{Driver: "maildir", Pattern: dir + "/*", Wild: true},
		proto.MeasureMailbox{Driver: "mbox", Pattern: dir + "/*", Wild: true},
		proto.MeasureMailbox{Driver: "mbox", Pattern: dir + "/absent"})
	if len(got) != 2 || got["ann"].Bytes != 1022 || got["ann"].Messages != 4 || got["ann"].LastRead.IsZero() || got["ann"].Query != 0 ||
		got["bob"].Bytes != 11 || got["bob"].Messages != -1 || got["bob"].Query != 1 {
		t.Fatalf("%+v", got)
	}
}

func TestWhatIsNoMailboxIsTrouble(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "x")
	mkdir(t, dir, "directory")
	if err := os.Symlink(filepath.Join(dir, "file"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	got := measured(t,
		proto.MeasureMailbox{Driver: "maildir", Pattern: dir + "/file"},
		proto.MeasureMailbox{Driver: "mbox", Pattern: dir + "/directory"},
		proto.MeasureMailbox{Driver: "mbox", Pattern: dir + "/link"})
	for _, name := range []string{"file", "directory", "link"} {
		if m := got[name]; m.Trouble == "" || m.Bytes != 0 {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestAQuestionThatMakesNoSenseIsRefused(t *testing.T) {
	for _, text := range []string{"", "{", `{"mailboxes":[{"pattern":"/tmp/["}]}`} {
		var out bytes.Buffer
		if err := Measure(strings.NewReader(text), &out); err == nil || out.Len() != 0 {
			t.Errorf("%q: %v %q", text, err, out.String())
		}
	}
}
