package inquiry

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

// tables is a router.
type tables func(ctx context.Context, q *proto.LookupQuery, a *proto.LookupAnswer) error

func (f tables) Call(ctx context.Context, req, reply ipc.Message, _ ...*os.File) error {
	return f(ctx, req.(*proto.LookupQuery), reply.(*proto.LookupAnswer))
}

func TestKeyIsAskedOnceAndAnErrorAgain(t *testing.T) {
	asked := 0
	away := true
	i := New(t.Context(), tables(func(_ context.Context, _ *proto.LookupQuery, a *proto.LookupAnswer) error {
		asked++
		if away {
			a.Trouble = "down"
			return nil
		}
		a.Found, a.Values = true, []string{"one", "two", "three"}
		return nil
	}), Limits{Patience: time.Minute, Keys: 2, Values: 2})
	if _, found, err := i.Ask("people", "ann"); err == nil || found {
		t.Error("a table that is down told something")
	}
	away = false
	for range 3 {
		if v, found, err := i.Ask("people", "ann"); err != nil || !found || len(v) != 2 || v[1] != "two" {
			t.Errorf("%v %v %v", v, found, err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}

func TestKeysOfAMessageAreBounded(t *testing.T) {
	i := New(t.Context(), tables(func(context.Context, *proto.LookupQuery, *proto.LookupAnswer) error { return nil }), Limits{Patience: time.Minute, Keys: 2})
	for n, key := range []string{"a", "b", "c", "a"} {
		if _, _, err := i.Ask("people", key); (err != nil) != (n == 2) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestNoRouterIsAnError(t *testing.T) {
	if _, _, err := New(t.Context(), nil, Limits{Keys: 1}).Ask("people", "ann"); !errors.Is(err, ErrNoRouter) {
		t.Error(err)
	}
}

func TestWaitsOfAMessageTogetherAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := New(t.Context(), tables(func(ctx context.Context, _ *proto.LookupQuery, _ *proto.LookupAnswer) error {
			<-ctx.Done()
			return ctx.Err()
		}), Limits{Patience: time.Minute, Keys: 100})
		began := time.Now()
		for range 50 {
			if _, _, err := i.Ask("people", "ann"); err == nil {
				t.Fatal("nobody answered")
			}
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}
