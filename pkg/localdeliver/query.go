package localdeliver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

// answer answers one call of router. It waits, so it is to be wrapped in
// ipc.Spawn.
func (s *server) answer(ctx context.Context, call *ipc.Call) {
	defer call.CloseFiles()
	switch call.Kind {
	case proto.KindForward:
		var q proto.ForwardQuery
		if err := call.Decode(&q); err != nil {
			return
		}
		call.Reply(s.forward(ctx, &q))
	case proto.KindConsult:
		var q proto.ConsultQuery
		if err := call.Decode(&q); err != nil {
			return
		}
		call.Reply(s.consult(ctx, &q))
	default:
		_ = call.Violation(fmt.Errorf("call of kind %d by router", call.Kind))
	}
}

// forward has a forward file read.
func (s *server) forward(ctx context.Context, q *proto.ForwardQuery) *proto.ForwardAnswer {
	row := s.board.Start()
	defer row.End()
	row.Set("reading a forward file", "", q.User)
	pl, req, why, err := s.planner.planRead(q)
	switch {
	case err != nil:
		return &proto.ForwardAnswer{Trouble: printable(err.Error())}
	case why != "":
		return &proto.ForwardAnswer{Why: printable(why)}
	}
	var a proto.ForwardAnswer
	if err := s.errand(ctx, pl, s.patience.read, req, &a); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("the home directory %s did not answer within %s", req.Actor.Home, s.patience.read)
		}
		return &proto.ForwardAnswer{Trouble: printable(err.Error())}
	}
	return checkForward(&a, req)
}

// checkForward doubts what a child says: it is the user's own process. What it
// says of the file is the user's word anyway, as the file is his.
func checkForward(a *proto.ForwardAnswer, req *childRead) *proto.ForwardAnswer {
	if !req.Includes {
		a.Includes = nil
	}
	size := a.Text.Len()
	for _, in := range a.Includes {
		size += in.Text.Len()
	}
	a.Trouble, a.Why = printable(a.Trouble), printable(a.Why)
	switch {
	case strings.ContainsFunc(a.Path, unicode.IsControl):
		// It stands in logs, and what it includes lies beside it: nothing to escape.
		return &proto.ForwardAnswer{Trouble: "the path of the forward file has a control character"}
	case size > proto.MaxForward:
		return &proto.ForwardAnswer{Path: a.Path, Trouble: fmt.Sprintf("more than %d octets", proto.MaxForward)}
	case a.Trouble != "":
		return &proto.ForwardAnswer{Path: a.Path, Trouble: a.Trouble}
	case !a.Found:
		return &proto.ForwardAnswer{Path: a.Path, Why: a.Why}
	}
	a.Why = ""
	return a
}

// consult has a program asked.
func (s *server) consult(ctx context.Context, q *proto.ConsultQuery) *proto.ConsultAnswer {
	row := s.board.Start()
	defer row.End()
	row.Set("asking a program", "", q.Director+q.Router)
	pl, req, err := s.planner.planAsk(q)
	if err != nil {
		return &proto.ConsultAnswer{Trouble: printable(err.Error())}
	}
	var a proto.ConsultAnswer
	if err := s.errand(ctx, pl, req.Timeout+s.patience.grace, req, &a); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%s did not end within %s", req.Command[0], req.Timeout)
		}
		return &proto.ConsultAnswer{Trouble: printable(err.Error())}
	}
	if a.Trouble = printable(a.Trouble); a.Trouble != "" {
		a.Output = untrusted.Text{}
	}
	return &a
}

// errand has a child do something for router. limits.per_user bounds how many of
// them a user's child has at a time: those that a file server holds up must not
// be all that there can be.
func (s *server) errand(ctx context.Context, pl plan, limit time.Duration, req, answer ipc.Message) error {
	waitCtx, cancel := context.WithTimeout(ctx, s.patience.place)
	c, err := s.errands.acquire(waitCtx, pl, workCommand)
	cancel()
	if err != nil {
		return err
	}
	defer s.errands.release(c, workCommand)
	// Not ended with the call: the child would go on all the same, and its place
	// be given to another.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	err = c.conn.Call(ctx, req, answer)
	if err != nil && ctx.Err() != nil {
		s.errands.abandon(c)
		return context.DeadlineExceeded
	}
	if err != nil {
		return fmt.Errorf("the process that was to answer: %w", err)
	}
	return nil
}

// printable is a text for people in which nothing is hidden.
func printable(s string) string { return untrusted.From(s).ForTerminal() }
