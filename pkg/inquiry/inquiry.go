package inquiry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

// Caller is the part of ipc.Client that asking router needs.
type Caller interface {
	Call(ctx context.Context, req, reply ipc.Message, files ...*os.File) error
}

// Limits bound an inquiry.
type Limits struct {
	Patience time.Duration // of all waits together
	Keys     int
	Values   int // that are kept of an answer
}

// Inquiry is what one message asks. It is for one goroutine at a time.
type Inquiry struct {
	ctx    context.Context
	router Caller
	limits Limits
	left   time.Duration // of the patience: other work may come in between
	known  map[question]answer
}

type question struct{ lookup, key string }

type answer struct {
	found bool
	first []string // of the values
}

// ErrNoRouter: a program was configured without one, which is a mistake of ours.
var ErrNoRouter = errors.New("there is no router to ask")

// New begins an inquiry; ctx is the work on the message.
func New(ctx context.Context, router Caller, limits Limits) *Inquiry {
	return &Inquiry{ctx: ctx, router: router, limits: limits, left: limits.Patience, known: map[question]answer{}}
}

// Ask gives the first values of a key. The error is temporary.
func (i *Inquiry) Ask(lookup, key string) (values []string, found bool, err error) {
	q := question{lookup, key}
	if a, known := i.known[q]; known {
		return a.first, a.found, nil
	}
	switch {
	case len(i.known) == i.limits.Keys:
		return nil, false, fmt.Errorf("a message asks for more than %d keys", i.limits.Keys)
	case i.router == nil:
		return nil, false, ErrNoRouter
	}
	got, err := i.call(&proto.LookupQuery{Name: lookup, Key: key})
	if err != nil {
		return nil, false, err
	}
	a := answer{found: got.Found, first: got.Values[:min(i.limits.Values, len(got.Values))]}
	i.known[q] = a
	return a.first, a.found, nil
}

func (i *Inquiry) call(q *proto.LookupQuery) (*proto.LookupAnswer, error) {
	ctx, cancel := context.WithTimeout(i.ctx, i.left)
	defer cancel()
	began := time.Now()
	defer func() { i.left -= time.Since(began) }()
	got := new(proto.LookupAnswer)
	if err := i.router.Call(ctx, q, got); err != nil {
		return nil, err
	}
	if got.Trouble != "" {
		return nil, errors.New(got.Trouble)
	}
	return got, nil
}
