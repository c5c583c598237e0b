package localdeliver

import (
	"context"
	"errors"
	"testing"
)

func TestMailboxInUseHoldsUpNoOther(t *testing.T) {
	var all turns
	done, err := all.take(t.Context(), "/locked")
	if err != nil {
		t.Fatal(err)
	}
	other, err := all.take(t.Context(), "/other")
	if err != nil {
		t.Fatalf("another mailbox has to wait: %v", err)
	}
	other()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := all.take(ended, "/locked"); !errors.Is(err, errLocked) {
		t.Fatalf("the same mailbox was had twice: %v", err)
	}
	done()
	again, err := all.take(t.Context(), "/locked")
	if err != nil {
		t.Fatal(err)
	}
	again()
	if len(all.of) != 0 {
		t.Fatalf("%d mailboxes are remembered", len(all.of))
	}
}
