package tables

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestQuestionsToServersAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		sh := shielded(s, time.Minute)
		want := func(known, asked, spared uint64) {
			t.Helper()
			if k, a, n := sh.set.known.Count(), sh.set.asked.Count(), sh.set.spared.Count(); k != known || a != asked || n != spared {
				t.Errorf("known %d, asked %d, spared %d; want %d, %d, %d", k, a, n, known, asked, spared)
			}
		}
		s.says(found("x"))
		for range 3 {
			_, _ = sh.find(context.Background(), "key")
		}
		want(2, 1, 0)
		s.says(fails(net.ErrClosed))
		_, _ = sh.find(context.Background(), "another")
		synctest.Wait()
		_, _ = sh.find(context.Background(), "third")
		want(2, 2, 1)
	})
}
