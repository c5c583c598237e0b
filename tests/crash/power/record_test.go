package power

import (
	"os"
	"path/filepath"
	"testing"
)

func always() bool { return true }
func never() bool  { return false }

func TestACutKeepsWhatWasFlushedAndOnlyWhatIsKeptOfTheRest(t *testing.T) {
	r := newReplay([]record{
		{'W', 0, []byte("aa")},
		{'F', 0, nil},
		{'W', 0, []byte("b")},
		{'M', 0, []byte("mark")},
		{'W', 2, []byte("cc")},
		{'F', 0, nil},
		{'W', 4, []byte("d")},
	}, 5)
	second := 0
	for _, c := range []struct {
		at   int
		keep func() bool
		want string
	}{
		{1, never, "\x00\x00\x00\x00\x00"}, // written and not flushed
		{1, always, "aa\x00\x00\x00"},
		{2, never, "aa\x00\x00\x00"},
		{5, never, "aa\x00\x00\x00"},
		{5, always, "bacc\x00"},
		{5, func() bool { second++; return second == 3 }, "aa\x00c\x00"}, // a torn write
		{6, never, "bacc\x00"},
		{7, never, "bacc\x00"},
		{7, always, "baccd"},
	} {
		if got := string(r.cut(c.at, 1, c.keep)); got != c.want {
			t.Errorf("cut at %d: %q, want %q", c.at, got, c.want)
		}
	}
}

func TestALogThatIsCutOffIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	whole := "W\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x02hi"
	for text, want := range map[string]int{"": 0, whole: 1, whole + whole: 2, whole[:18]: -1, whole[:5]: -1} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readRecords(path)
		if (err != nil) != (want < 0) || err == nil && len(got) != want {
			t.Errorf("%q: %d records, %v", text, len(got), err)
		}
		if want > 0 && (got[0].off != 5 || string(got[0].data) != "hi") {
			t.Errorf("got %+v", got[0])
		}
	}
}
