package standing

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"filbert/pkg/durable"
	"filbert/pkg/proto"
)

func spoolDir(t *testing.T) (*durable.Dir, string) {
	t.Helper()
	dir := t.TempDir()
	fsys, err := durable.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fsys.Close() })
	if err := durable.MkdirAll(fsys, Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return fsys, filepath.Join(dir, FileName)
}

func TestOrdersAreReadAsTheyWereSaved(t *testing.T) {
	fsys, _ := spoolDir(t)
	if next, list, err := Load(fsys); next != 1 || list != nil || err != nil {
		t.Fatalf("of nothing: %d %v %v", next, list, err)
	}
	o := proto.StandingOrder{
		Number: 4, Kind: proto.OrderReroute, Target: "b@x.example", To: "[192.0.2.1]:25", Who: "ann", Reason: "because\nof",
		Made: noon, Until: noon.Add(time.Hour),
	}
	want := []proto.StandingOrder{o, {Number: 6, Kind: proto.OrderLimit, Target: "local", Value: 3, Who: "uid 7", Made: noon}}
	if err := Save(fsys, 9, want); err != nil {
		t.Fatal(err)
	}
	next, got, err := Load(fsys)
	if err != nil || next != 9 {
		t.Fatalf("next %d, %v", next, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDamagedFileGivesWhatCanBeRead(t *testing.T) {
	good := `{"number":3,"order":"hold","target":"x.example","who":"root","made":"2026-03-01T12:00:00Z"}` + "\n"
	for name, text := range map[string]string{
		"a torn line":       `{"next":5}` + "\n" + good + `{"number":4,"order":"ho`,
		"no header":         good,
		"a number twice":    `{"next":5}` + "\n" + good + good,
		"an unknown field":  `{"next":5}` + "\n" + good + `{"number":4,"order":"hold","target":"y.example","who":"r","made":"2026-03-01T12:00:00Z","x":1}` + "\n",
		"an unknown order":  `{"next":5}` + "\n" + good + `{"number":4,"order":"bake","target":"y.example","who":"r","made":"2026-03-01T12:00:00Z"}` + "\n",
		"more on a line":    `{"next":5}` + "\n" + good + `{"number":4,"order":"hold","target":"y.example","who":"r","made":"2026-03-01T12:00:00Z"} {}` + "\n",
		"octets of a crash": `{"next":5}` + "\n" + good + "\x00\x00\x00\x00\n",
	} {
		fsys, path := spoolDir(t)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		next, list, err := Load(fsys)
		if !errors.Is(err, ErrDamaged) || len(list) != 1 || list[0].Number != 3 || next < 4 {
			t.Errorf("%s: next %d, %d orders, %v", name, next, len(list), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"next":5}` + "\n" + `{"number":3,"order":"hold","target":"x.example","who":"root","made":"2026-03-01T12:00:00Z"}` + "\n"))
	f.Add([]byte("{}\n\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		next, list, _ := parse(data)
		for i := range list {
			if Check(&list[i]) != nil || list[i].Number >= next {
				t.Errorf("order %+v, and the next is %d", list[i], next)
			}
		}
	})
}
