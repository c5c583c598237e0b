package mtadb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/history"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// opened is a store in dir that ends with the test.
func opened(t testing.TB, dir string) *store {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openStore(root, func(err error) { t.Log(err) }, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, s) })
	return s
}

func shut(t testing.TB, s *store) {
	t.Helper()
	if s.db == nil {
		return
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	s.db = nil
	if err := s.files.root.Close(); err != nil {
		t.Error(err)
	}
}

func host(key, value string) proto.MemoryRecord {
	return proto.MemoryRecord{Kind: proto.MemoryHost, Key: key, Value: []byte(value)}
}

func keep(t testing.TB, s *store, now time.Time, list ...proto.MemoryRecord) {
	t.Helper()
	if err := s.remember(list, now); err != nil {
		t.Fatal(err)
	}
}

// keys are those that recall finds, with their values.
func keys(t testing.TB, s *store, kind proto.MemoryKind, prefix string, now time.Time) string {
	t.Helper()
	page, more, err := s.recall(kind, prefix, "", 1000, now)
	if err != nil || more {
		t.Fatal(more, err)
	}
	var out []string
	for _, r := range page {
		out = append(out, r.key+"="+string(r.data))
	}
	return strings.Join(out, " ")
}

func TestWhatIsRememberedIsThereAfterAnotherStart(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	keep(t, s, noon, host("a", "1"), host("b", "2"), host("a", "3"))
	keep(t, s, noon, host("b", "4"), proto.MemoryRecord{Kind: proto.MemoryQuirk, Key: "a", Value: []byte("q")})
	shut(t, s)
	s = opened(t, dir)
	if got := keys(t, s, proto.MemoryHost, "", noon); got != "a=3 b=4" {
		t.Error(got)
	}
	if c := s.counts[proto.MemoryHost]; c.records != 2 {
		t.Errorf("%d hosts are counted", c.records)
	}
}

func TestRecallGivesPagesInTheOrderOfKeys(t *testing.T) {
	s := opened(t, t.TempDir())
	for i := range 25 {
		keep(t, s, noon, host(fmt.Sprintf("mx%02d", i), "x"))
	}
	keep(t, s, noon, host("my", "x"), host("mw", "x"))
	var got []string
	for behind, more := "", true; more; {
		var page []stored
		var err error
		page, more, err = s.recall(proto.MemoryHost, "mx", behind, 10, noon)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			got = append(got, r.key)
		}
		behind = page[len(page)-1].key
	}
	if len(got) != 25 || got[0] != "mx00" || got[24] != "mx24" {
		t.Error(got)
	}
}

func TestForgetDropsOneOrAllThatBeginSo(t *testing.T) {
	s := opened(t, t.TempDir())
	keep(t, s, noon, host("a", "1"), host("ab", "2"), host("abc", "3"), host("b", "4"))
	for _, c := range []struct {
		key  string
		how  match
		n    uint32
		left string
	}{{"zz", exactly, 0, "a=1 ab=2 abc=3 b=4"}, {"a", exactly, 1, "ab=2 abc=3 b=4"}, {"a", beginning, 2, "b=4"}, {"", beginning, 1, ""}} {
		n, err := s.forget(proto.MemoryHost, c.key, c.how)
		if err != nil || n != c.n {
			t.Errorf("forget %q: %d, %v", c.key, n, err)
		}
		if got := keys(t, s, proto.MemoryHost, "", noon); got != c.left {
			t.Errorf("after %q: %s", c.key, got)
		}
	}
	if c := s.counts[proto.MemoryHost]; c != (count{}) {
		t.Errorf("%+v is counted", c)
	}
}

func TestWhatHasExpiredIsNotToldAndIsSwept(t *testing.T) {
	s := opened(t, t.TempDir())
	short := host("short", "1")
	short.Expires = noon.Add(time.Hour).Unix()
	keep(t, s, noon, short, host("long", "2"))
	renewed := host("renewed", "1")
	renewed.Expires = noon.Add(time.Hour).Unix()
	keep(t, s, noon, renewed)
	renewed.Expires = noon.Add(100 * time.Hour).Unix()
	keep(t, s, noon, renewed)
	later := noon.Add(2 * time.Hour)
	if got := keys(t, s, proto.MemoryHost, "", later); got != "long=2 renewed=1" {
		t.Error(got)
	}
	if err := s.sweep(later); err != nil {
		t.Fatal(err)
	}
	if c := s.counts[proto.MemoryHost]; c.records != 2 {
		t.Errorf("%d are left", c.records)
	}
	if err := s.sweep(noon.Add(40 * 24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if c := s.counts[proto.MemoryHost]; c != (count{}) {
		t.Errorf("%+v is left after their time", c)
	}
}

func TestAKindKeepsWithinItsBoundAndTheFirstToExpireGoes(t *testing.T) {
	s := opened(t, t.TempDir())
	most := int(bounds(proto.MemoryHost).records)
	var list []proto.MemoryRecord
	for i := range most + 500 {
		r := host(fmt.Sprintf("%08d", i), "x")
		r.Expires = noon.Add(time.Hour).Unix() + int64(i)
		if list = append(list, r); len(list) == 10_000 {
			keep(t, s, noon, list...)
			list = nil
		}
	}
	keep(t, s, noon, list...)
	if err := s.sweep(noon); err != nil {
		t.Fatal(err)
	}
	if c := s.counts[proto.MemoryHost]; int(c.records) > most || int(c.records) < most-10_000 {
		t.Errorf("%d are left, %d may be", c.records, most)
	}
	page, _, err := s.recall(proto.MemoryHost, "", "", 1, noon)
	if err != nil || page[0].key < "00000400" || page[0].key > "00000500" {
		t.Errorf("the first left is %s, %v", page[0].key, err)
	}
}

// line is one of a log.
func line(at time.Time, id queueid.ID, rest string) string {
	who := "-"
	if id != 0 {
		who = id.String()
	}
	return at.UTC().Format("2006-01-02T15:04:05.000Z") + " " + who + " " + rest + "\n"
}

// mail is the log of one message that uid submitted.
func mail(at time.Time, n int, uid int, to string) (queueid.ID, string) {
	id := queueid.FromTime(at) | queueid.ID(n)
	return id, line(at, id, fmt.Sprintf("received from=<u%d@here.test> nrcpt=1 size=100 proto=local uid=%d msgid=%d@x by=cleanup", uid, uid, n)) +
		line(at.Add(time.Second), id, "delivered to=<"+to+"> via=smtp host=mx.far.test ip=192.0.2.1 code=250 took=3.0ms said=ok by=dispatch") +
		line(at.Add(time.Second), id, "finished by=dispatch")
}

const testSize = 4 << 30

func told(t testing.TB, s *store, now time.Time, logs ...string) {
	t.Helper()
	d := newDigest()
	for _, l := range strings.Split(strings.Join(logs, ""), "\n") {
		if l != "" {
			d.line([]byte(l))
		}
	}
	if d.skipped > 0 {
		t.Fatalf("%d lines are not understood", d.skipped)
	}
	if err := s.record(d, nil, now, testSize); err != nil {
		t.Fatal(err)
	}
}

func lookFor(t testing.TB, s *store, q query) []found {
	t.Helper()
	var list []found
	if err := s.find(context.Background(), &q, func(f found) bool { list = append(list, f); return true }); err != nil {
		t.Fatal(err)
	}
	return list
}

func by(kind history.TermKind, text string) query {
	return query{terms: []history.Term{history.Normal(kind, text)}}
}

func TestAMessageIsFoundByAnyOfItsNamesOverAllParts(t *testing.T) {
	s := opened(t, t.TempDir())
	var ids []queueid.ID
	for day := range 5 {
		id, log := mail(noon.Add(time.Duration(day)*25*time.Hour), day, 1000+day, fmt.Sprintf("bob%d@far%d.test", day%2, day))
		ids = append(ids, id)
		told(t, s, noon.Add(200*time.Hour), log)
	}
	if len(s.parts) < 4 {
		t.Errorf("%d parts for five days", len(s.parts))
	}
	// More about an old one.
	told(t, s, noon.Add(200*time.Hour), line(noon.Add(200*time.Hour), ids[0], "deferred to=<late@far0.test> host=other.test by=dispatch"))
	refusal := line(noon.Add(30*time.Hour), 0, "refused stage=rcpt client=203.0.113.9 from=<u1002@here.test> to=<bob0@far9.test> code=550 why=no by=smtpd")
	told(t, s, noon.Add(200*time.Hour), refusal)
	for name, c := range map[string]struct {
		q    query
		want []queueid.ID
	}{
		"id":         {query{id: ids[2]}, []queueid.ID{ids[2]}},
		"recipient":  {by(history.ByRecipient, "bob0@far2.test"), []queueid.ID{ids[2]}},
		"sender":     {by(history.BySender, "<U1002@here.test>"), []queueid.ID{ids[2], 0}},
		"domain":     {by(history.ByDomain, "far0.test"), []queueid.ID{ids[0]}},
		"late":       {by(history.ByRecipient, "late@far0.test"), []queueid.ID{ids[0]}},
		"host":       {by(history.ByHost, "mx.far.test"), []queueid.ID{ids[4], ids[3], ids[2], ids[1], ids[0]}},
		"other host": {by(history.ByHost, "other.test"), []queueid.ID{ids[0]}},
		"client":     {by(history.ByClient, "203.0.113.9"), []queueid.ID{0}},
		"message id": {by(history.ByMessageID, "<3@x>"), []queueid.ID{ids[3]}},
		"uid":        {by(history.ByUID, "1004"), []queueid.ID{ids[4]}},
		"nobody":     {by(history.BySender, "nobody@here.test"), nil},
		"since":      {query{since: noon.Add(70 * time.Hour)}, []queueid.ID{ids[4], ids[3]}},
		"until":      {query{until: noon.Add(28 * time.Hour)}, []queueid.ID{ids[1], ids[0]}},
		"limit":      {query{limit: 2}, []queueid.ID{ids[4], ids[3]}},
		"two":        {query{terms: []history.Term{history.Normal(history.ByHost, "mx.far.test"), history.Normal(history.ByUID, "1001")}}, []queueid.ID{ids[1]}},
	} {
		var got []queueid.ID
		for _, f := range lookFor(t, s, c.q) {
			got = append(got, f.id)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("by %s: %v, want %v", name, got, c.want)
		}
	}
	if f := lookFor(t, s, query{id: ids[0]}); len(f) != 1 || len(f[0].events) != 4 || f[0].events[3].Verb != "deferred" {
		t.Errorf("the whole of it: %+v", f)
	}
}

func TestHistoryIsDroppedByAgeAndBySize(t *testing.T) {
	s := opened(t, t.TempDir())
	for day := range 6 {
		_, log := mail(noon.Add(time.Duration(day)*25*time.Hour), day, 1, "bob@far.test")
		told(t, s, noon.Add(200*time.Hour), log)
	}
	now := noon.Add(6 * 25 * time.Hour)
	if err := s.sweepHistory(now, 80*time.Hour, testSize); err != nil {
		t.Fatal(err)
	}
	if got := len(lookFor(t, s, query{})); got < 3 || got > 4 {
		t.Errorf("%d of six messages are left", got)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.sweepHistory(now, 1000*time.Hour, 1); err != nil {
		t.Fatal(err)
	}
	if got := len(lookFor(t, s, query{})); got != 1 {
		t.Errorf("%d are left, the last part has 1", got)
	}
	// What happens to a message whose part is gone is nobody's.
	id, _ := mail(noon, 0, 1, "bob@far.test")
	told(t, s, now, line(now, id, "finished by=dispatch"))
	if got := len(lookFor(t, s, query{})); got != 1 {
		t.Errorf("%d after a word about one that was dropped", got)
	}
}

func TestAClockThatWasAheadKeepsNoPartOpen(t *testing.T) {
	s := opened(t, t.TempDir())
	_, log := mail(noon, 1, 1, "a@b.test")
	told(t, s, noon, log)
	_, ahead := mail(noon.Add(1000*time.Hour), 1, 1, "a@b.test")
	told(t, s, noon, ahead)
	if len(s.parts) != 1 {
		t.Errorf("a part begins in the future: %v", s.parts)
	}
}

func TestAQueryThatLooksAtTooMuchEnds(t *testing.T) {
	s := opened(t, t.TempDir())
	for i := range 50 {
		_, log := mail(noon, i, 1, "a@b.test")
		told(t, s, noon, log)
	}
	q := query{most: 20, terms: []history.Term{history.Normal(history.ByHost, "mx.far.test"), history.Normal(history.ByUID, "7")}}
	if err := s.find(context.Background(), &q, func(found) bool { return true }); !errors.Is(err, errTooMuch) {
		t.Error(err)
	}
}

func TestAUserFindsHisOwnAlone(t *testing.T) {
	s := opened(t, t.TempDir())
	var his queueid.ID
	for i := range 20 {
		id, log := mail(noon, i, 1000+i%2, "bob@far.test")
		told(t, s, noon, log)
		if i == 4 {
			his = id
		}
	}
	if got := lookFor(t, s, query{}); len(got) != 20 {
		t.Fatalf("%d messages", len(got))
	}
	for _, c := range []struct {
		q    query
		uid  uint32
		want int
	}{
		{query{}, 1000, 10}, {query{}, 1001, 10}, {query{}, 0, 0}, {query{}, 100, 0},
		{query{id: his}, 1000, 1}, {query{id: his}, 1001, 0},
		{by(history.BySender, "u1001@here.test"), 1000, 0},
		{by(history.ByUID, "1001"), 1000, 0}, // not even to ask for it
		{by(history.ByRecipient, "bob@far.test"), 1001, 10},
	} {
		forUser(&c.q, c.uid)
		got := lookFor(t, s, c.q)
		if len(got) != c.want {
			t.Errorf("uid %d finds %d, want %d", c.uid, len(got), c.want)
		}
		for _, f := range got {
			if want := fmt.Sprintf("<u%d@here.test>", c.uid); f.events[0].Get("from") != want {
				t.Errorf("uid %d finds mail of %s", c.uid, f.events[0].Get("from"))
			}
		}
	}
}

// damage changes octets in the middle of every file of the database that a pattern names.
func damage(t *testing.T, dir, pattern string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, dbName, pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("no %s (%v)", pattern, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			b[i] ^= 0x5a
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADamagedDatabaseIsRecognised(t *testing.T) {
	for _, pattern := range []string{"MANIFEST-*", "*.sst", "marker.manifest*"} {
		dir := t.TempDir()
		s := opened(t, dir)
		keep(t, s, noon, host("a", "1"))
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
		shut(t, s)
		if strings.HasPrefix(pattern, "marker") {
			names, _ := filepath.Glob(filepath.Join(dir, dbName, "MANIFEST-*"))
			for _, n := range names {
				os.Remove(n)
			}
		} else {
			damage(t, dir, pattern)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		again, err := openStore(root, func(error) {}, func(error) {})
		if err == nil && pattern == "*.sst" {
			// Found when it is read: the next start sees the mark.
			_, _, err = again.recall(proto.MemoryHost, "", "", 10, noon)
			if err == nil {
				t.Errorf("%s: what is damaged was read", pattern)
			}
			_ = again.close()
			if again, err = openStore(root, func(error) {}, func(error) {}); err == nil {
				again.close()
			}
		}
		if !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", pattern, err)
		}
		name, err := setAside(root, noon)
		if err != nil || name != "memory.damaged-20260301T120000" {
			t.Errorf("set aside as %s, %v", name, err)
		}
		fresh, err := openStore(root, func(error) {}, func(err error) { t.Error(err) })
		if err != nil {
			t.Fatalf("%s: begin anew: %v", pattern, err)
		}
		shut(t, fresh)
	}
}

func TestATornEndOfTheJournalIsNoDamage(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	keep(t, s, noon, host("a", "1"))
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	copyTree(t, dir, copied)
	names, _ := filepath.Glob(filepath.Join(copied, dbName, "*.log"))
	for _, name := range names {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write(bytes.Repeat([]byte{0x41}, 100))
		f.Close()
	}
	again := opened(t, copied)
	if got := keys(t, again, proto.MemoryHost, "", noon); got != "a=1" {
		t.Error(got)
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyTheNewestDamagedDatabaseIsKept(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := os.MkdirAll(filepath.Join(dir, dbName, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := setAside(root, noon.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	names, _ := os.ReadDir(dir)
	if len(names) != 1 || names[0].Name() != "memory.damaged-20260301T140000" {
		t.Error(names)
	}
}

func TestErrorsOfTheMachineAreNoDamage(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EROFS, syscall.EACCES, syscall.EIO, syscall.EMFILE, syscall.EDQUOT} {
		if !isEnvironment(fmt.Errorf("open: %w", &os.PathError{Op: "open", Path: "x", Err: errno})) {
			t.Errorf("%v would throw the database away", errno)
		}
	}
	if isEnvironment(&os.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}) || isEnvironment(errors.New("bad checksum")) {
		t.Error("a missing file is taken for the machine's")
	}
}
