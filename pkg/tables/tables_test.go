package tables

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"filbert/pkg/lookup"
	"filbert/pkg/settings"
	"filbert/pkg/tally"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a table that says what the test wants, and remembers what it was asked.
type server struct {
	mu     sync.Mutex
	asked  []string
	answer func(ctx context.Context, key string) (lookup.Answer, error)
}

func (s *server) Find(ctx context.Context, key string) (lookup.Answer, error) {
	s.mu.Lock()
	s.asked = append(s.asked, key)
	answer := s.answer
	s.mu.Unlock()
	return answer(ctx, key)
}

func (s *server) Close() {}

func (s *server) says(answer func(ctx context.Context, key string) (lookup.Answer, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func found(values ...string) func(context.Context, string) (lookup.Answer, error) {
	return func(context.Context, string) (lookup.Answer, error) {
		return lookup.Answer{Found: true, Values: values}, nil
	}
}

func fails(err error) func(context.Context, string) (lookup.Answer, error) {
	return func(context.Context, string) (lookup.Answer, error) { return lookup.Answer{}, err }
}

func shielded(s *server, cacheFor time.Duration) *shield {
	return newShield(s, shieldSettings{timeout: 5 * time.Second, cacheFor: cacheFor, now: time.Now,
		known: new(tally.Figure), asked: new(tally.Figure), spared: new(tally.Figure)})
}

func TestAnswersAreUsedAgainForATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: found("x")}
		sh := shielded(s, 10*time.Second)
		defer sh.close()
		absent := &server{answer: found()}
		absent.answer = func(context.Context, string) (lookup.Answer, error) { return lookup.Answer{}, nil }
		no := shielded(absent, 10*time.Second)
		defer no.close()
		for range 3 {
			if a, err := sh.find(t.Context(), "k"); err != nil || !a.Found || a.Values[0] != "x" {
				t.Fatal(a, err)
			}
			if a, err := no.find(t.Context(), "k"); err != nil || a.Found {
				t.Fatal(a, err)
			}
			time.Sleep(3 * time.Second)
		}
		if len(s.asked) != 1 || len(absent.asked) != 1 {
			t.Errorf("asked %d and %d times", len(s.asked), len(absent.asked))
		}
		time.Sleep(2 * time.Second)
		sh.find(t.Context(), "k")
		if len(s.asked) != 2 {
			t.Errorf("after its time: asked %d times", len(s.asked))
		}
		sh.forget()
		sh.find(t.Context(), "k")
		if len(s.asked) != 3 {
			t.Errorf("after a reload: asked %d times", len(s.asked))
		}
	})
}

func TestWithoutACacheEachQuestionIsAsked(t *testing.T) {
	s := &server{answer: found("x")}
	sh := shielded(s, 0)
	defer sh.close()
	for range 3 {
		sh.find(t.Context(), "k")
	}
	if len(s.asked) != 3 {
		t.Errorf("asked %d times", len(s.asked))
	}
}

func TestAHundredAtOnceAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: func(context.Context, string) (lookup.Answer, error) {
			time.Sleep(time.Second)
			return lookup.Answer{Found: true}, nil
		}}
		sh := shielded(s, time.Second)
		defer sh.close()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if a, err := sh.find(t.Context(), "k"); err != nil || !a.Found {
					t.Error(a, err)
				}
			})
		}
		wg.Wait()
		if len(s.asked) != 1 {
			t.Errorf("asked %d times", len(s.asked))
		}
	})
}

func TestWhoGoesAwayTakesNoAnswerFromOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: func(ctx context.Context, _ string) (lookup.Answer, error) {
			select {
			case <-time.After(time.Second):
				return lookup.Answer{Found: true}, nil
			case <-ctx.Done():
				return lookup.Answer{}, ctx.Err()
			}
		}}
		sh := shielded(s, time.Second)
		defer sh.close()
		first, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := sh.find(first, "k"); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if a, err := sh.find(t.Context(), "k"); err != nil || !a.Found {
				t.Error(a, err)
			}
		})
		synctest.Wait()
		leave()
		wg.Wait()
	})
}

func TestAServerThatIsDownIsNotAskedForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: func(ctx context.Context, _ string) (lookup.Answer, error) {
			<-ctx.Done()
			return lookup.Answer{}, ctx.Err()
		}}
		sh := shielded(s, time.Minute)
		defer sh.close()
		began := time.Now()
		for i := range 10 {
			if a, err := sh.find(t.Context(), fmt.Sprint("k", i)); err == nil || a.Found {
				t.Fatal(a, err)
			}
		}
		if d := time.Since(began); d != 5*time.Second || len(s.asked) != 1 {
			t.Errorf("waited %s, asked %d times", d, len(s.asked))
		}
		s.says(found("x"))
		time.Sleep(time.Second)
		if a, err := sh.find(t.Context(), "k0"); err != nil || !a.Found {
			t.Errorf("the error was kept: %v, %v", a, err)
		}
	})
}

func TestErrorsAreNotKeptAndNeverLookLikeAbsence(t *testing.T) {
	s := &server{answer: fails(errors.New("syntax"))}
	sh := shielded(s, time.Minute)
	defer sh.close()
	if a, err := sh.find(t.Context(), "k"); err == nil || a.Found {
		t.Error(a, err)
	}
	// The server lives; only this key was too much for it.
	s.says(found("x"))
	if a, err := sh.find(t.Context(), "other"); err != nil || !a.Found {
		t.Error(a, err)
	}
	if a, err := sh.find(t.Context(), "k"); err != nil || !a.Found {
		t.Error(a, err)
	}
	s.says(fails(io.EOF))
	sh.find(t.Context(), "third")
	s.says(found("x"))
	if _, err := sh.find(t.Context(), "fourth"); !errors.Is(err, io.EOF) {
		t.Errorf("a server that hung up was asked again at once: %v", err)
	}
	if a, err := sh.find(t.Context(), "k"); err != nil || !a.Found {
		t.Errorf("what was known is not used while the server is down: %v, %v", a, err)
	}
}

func TestAnswersThatNoFileCouldHoldAreErrors(t *testing.T) {
	s := &server{answer: found("a\nb")}
	sh := shielded(s, time.Minute)
	defer sh.close()
	if a, err := sh.find(t.Context(), "k"); !errors.Is(err, lookup.ErrUnusable) || a.Found {
		t.Error(a, err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	var c cache
	now := time.Now()
	for i := range 3 * maxCached {
		c.put(fmt.Sprint(i), lookup.Answer{}, now.Add(time.Hour), now)
	}
	if n := len(c.young) + len(c.old); n > maxCached {
		t.Errorf("%d answers are kept", n)
	}
	c = cache{}
	big := lookup.Answer{Found: true, Values: []string{strings.Repeat("x", 60_000)}}
	for i := range 1000 {
		c.put(fmt.Sprint(i), big, now.Add(time.Hour), now)
	}
	if n := len(c.young) + len(c.old); n*60_000 > maxOctets {
		t.Errorf("%d large answers are kept", n)
	}
	c.put("huge", lookup.Answer{Values: []string{strings.Repeat("x", maxOne)}}, now.Add(time.Hour), now)
	if _, ok := c.get("huge", now); ok {
		t.Error("a huge answer is kept")
	}
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSetAsksByName(t *testing.T) {
	s, err := OpenAll(map[string]settings.Lookup{
		"in":      {Type: "inline", Entries: map[string]string{"Alice@B.example": "x", "<>": "null"}},
		"text":    {Type: "file", Path: file(t, "bob 1\n")},
		"re":      {Type: "regexp", Path: file(t, "/^(.)ob$/ {1}\n")},
		"net":     {Type: "cidr", Path: file(t, "192.0.2.0/24 n\n")},
		"limited": {Type: "regexp", Path: file(t, "/./ any\n"), Domains: []string{"*.example"}},
		"users":   {Type: "passwd"},
	}, World{Now: time.Now, Passwd: file(t, "Carol:x:1:1:C. Arol:/home/c:/bin/sh\n")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct{ name, key, want string }{
		{"in", "ALICE@b.example", "true x"}, {"in", "", "true null"}, {"in", "bob", "false "}, {"text", "BOB", "true 1"}, {"re", "Bob", "true b"},
		{"net", "192.0.2.9", "true n"}, {"limited", "a@b.example", "true any"}, {"limited", "b.example", "true any"},
		{"limited", "a@b.test", "false "}, {"limited", "a", "false "}, {"users", "Carol", "true Carol:/home/c"},
		{"re", "b\x00ob", "false "}, {"re", "\xff", "false "}, {"limited", strings.Repeat("x", 1000) + "@b.example", "false "},
	} {
		a, err := s.Find(t.Context(), c.name, c.key)
		if got := fmt.Sprint(a.Found, " ", strings.Join(a.Values, "|")); got != c.want || err != nil {
			t.Errorf("%s %.30q: got %s, %v, want %s", c.name, c.key, got, err, c.want)
		}
	}
	if !s.Has("in") || s.Has("out") {
		t.Error("Has is wrong")
	}
	if _, err := s.Find(t.Context(), "out", "k"); !errors.Is(err, ErrNoLookup) {
		t.Errorf("got %v", err)
	}
}

func TestAbsentFilesAreToldAndFailEachQuestion(t *testing.T) {
	told := map[string]int{}
	lookups := map[string]settings.Lookup{}
	for _, kind := range []string{"file", "regexp", "cidr", "cdb", "sqlite"} {
		lookups[kind] = settings.Lookup{Type: kind, Path: filepath.Join(t.TempDir(), "absent"), Query: "SELECT a FROM b WHERE c = {key}"}
	}
	s, err := OpenAll(lookups, World{Now: time.Now, Complain: func(name string, _ error) { told[name]++ }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name := range lookups {
		if a, err := s.Find(t.Context(), name, "k"); err == nil || a.Found {
			t.Errorf("%s: got %v, %v", name, a, err)
		}
		if told[name] != 1 && name != "sqlite" {
			t.Errorf("%s: told %d times", name, told[name])
		}
	}
	if err := s.Reload(); err == nil {
		t.Error("Reload found nothing wrong")
	}
}

func TestReloadTakesAYoungFile(t *testing.T) {
	path := file(t, "a 1\n")
	s, err := OpenAll(map[string]settings.Lookup{"x": {Type: "file", Path: path}}, World{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.WriteFile(path, []byte("a 2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if a, _ := s.Find(t.Context(), "x", "a"); !a.Found || a.Values[0] != "2" {
		t.Errorf("got %v", a)
	}
}

func TestAServerThatCannotBeMadeReadyFailsAlone(t *testing.T) {
	told := 0
	s, err := OpenAll(map[string]settings.Lookup{
		"bad":  {Type: "ldap", Servers: []string{"ldap://127.0.0.1"}, Base: "dc=x", Query: "(mail={key})", Username: "cn=x"}, // without its password
		"good": {Type: "inline", Entries: map[string]string{"a": "1"}},
	}, World{Now: time.Now, Complain: func(string, error) { told++ }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if a, err := s.Find(t.Context(), "bad", "k"); err == nil || a.Found || told != 1 {
		t.Errorf("got %v, %v, told %d times", a, err, told)
	}
	if a, err := s.Find(t.Context(), "good", "a"); err != nil || !a.Found {
		t.Errorf("got %v, %v", a, err)
	}
	if _, err := OpenAll(map[string]settings.Lookup{"x": {Type: "odd"}}, World{}); err == nil || !strings.Contains(err.Error(), "open lookup x") {
		t.Errorf("got %v", err)
	}
}
