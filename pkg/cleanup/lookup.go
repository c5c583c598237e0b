package cleanup

import (
	"context"
	"errors"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/inquiry"
	"filbert/pkg/rewrite"
)

const (
	// lookupPatience bounds the waits of one message for all its lookups. It is
	// far below the ten minutes that a client waits for the reply to its data (RFC
	// 5321, section 4.5.3.2.6).
	lookupPatience = 60 * time.Second
	// maxLookups bounds the keys that one message may ask for: its header can name
	// thousands of addresses, and each key may be a search in a directory.
	maxLookups = 2000
)

// asking gives what is done to a message's addresses somebody to ask. What asks waits, so it must
// not be the read loop. Rewriting counts the first value alone, copies those that they
// may have.
func (c *Cleanup) asking(ctx context.Context, w *rewriting) {
	i := inquiry.New(ctx, c.router, inquiry.Limits{Patience: lookupPatience, Keys: maxLookups, Values: maxCopies})
	w.ask, w.set = i.Ask, w.set.Asking(i.Ask)
}

// unrewritten is the refusal for rules that could not be followed.
func (c *Cleanup) unrewritten(s *submission, err error) *refusal {
	if errors.Is(err, rewrite.ErrTooBig) {
		return permanent(552, 3, 4, "Message header too large after rewriting")
	}
	c.log.Emit(event.TroubleOf(s.env.ID, "rewrite a message", err))
	// The submitter keeps the message: no address leaves us that a rule was to change.
	return temporary(451, 3, 0, "Addresses can't be looked up at the moment, try again later")
}
