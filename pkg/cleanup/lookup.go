package cleanup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/proto"
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

var (
	errTooManyLookups = fmt.Errorf("a message asks for more than %d keys", maxLookups)
	errNoRouter       = errors.New("there is no router to ask")
)

// caller is the part of ipc.Client that asking router needs.
type caller interface {
	Call(ctx context.Context, req, reply ipc.Message, files ...*os.File) error
}

// answers asks lookups for one message, each key once. Rewriting counts the first
// value alone, copies those that they may have.
type answers struct {
	ctx    context.Context
	router caller
	left   time.Duration // of lookupPatience; the rest of a large message may come in between
	known  map[[2]string]found
}

type found struct {
	yes   bool
	first []string // of the values
}

// asking gives what is done to a message's addresses somebody to ask. What asks waits, so it must
// not be the read loop.
func (c *Cleanup) asking(ctx context.Context, w *rewriting) {
	a := &answers{ctx: ctx, router: c.router, left: lookupPatience, known: make(map[[2]string]found)}
	w.ask, w.set = a.ask, w.set.Asking(a.ask)
}

// ask is rewrite.Ask.
func (a *answers) ask(lookup, key string) ([]string, bool, error) {
	q := [2]string{lookup, key}
	if f, known := a.known[q]; known {
		return f.first, f.yes, nil
	}
	switch {
	case len(a.known) == maxLookups:
		return nil, false, errTooManyLookups
	case a.router == nil:
		return nil, false, errNoRouter
	}
	answer, err := a.call(&proto.LookupQuery{Name: lookup, Key: key})
	if err != nil {
		return nil, false, err
	}
	f := found{yes: answer.Found, first: answer.Values[:min(maxCopies, len(answer.Values))]}
	a.known[q] = f
	return f.first, f.yes, nil
}

func (a *answers) call(q *proto.LookupQuery) (*proto.LookupAnswer, error) {
	ctx, cancel := context.WithTimeout(a.ctx, a.left)
	defer cancel()
	began := time.Now()
	defer func() { a.left -= time.Since(began) }()
	answer := new(proto.LookupAnswer)
	if err := a.router.Call(ctx, q, answer); err != nil {
		return nil, err
	}
	if answer.Trouble != "" {
		return nil, errors.New(answer.Trouble)
	}
	return answer, nil
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
