package router

import (
	"errors"
	"fmt"
	"strings"

	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

// consulted is the answer of a program within one query.
type consulted struct {
	line string // the first
	err  error
}

// maxSaid bounds the words of a program that stand in a verdict.
const maxSaid = 500

// consult has a program asked, each question once in a query, and takes the first
// line of its answer apart.
func (q *query) consult(c *proto.ConsultQuery) (verb, rest string, err error) {
	q.mu.Lock()
	a, known := q.consulted[*c]
	q.mu.Unlock()
	if !known {
		a = q.putQuestion(c)
		q.mu.Lock()
		if q.consulted == nil {
			q.consulted = make(map[proto.ConsultQuery]consulted)
		}
		q.consulted[*c] = a
		q.mu.Unlock()
	}
	if a.err != nil {
		return "", "", a.err
	}
	verb = a.line
	if i := strings.IndexAny(a.line, " \t"); i >= 0 {
		verb, rest = a.line[:i], a.line[i:]
	}
	verb, rest = strings.ToLower(verb), strings.TrimSpace(rest)
	if verb == "fail" || verb == "defer" {
		rest = untrusted.From(rest).Clip(maxSaid).ForReport()
	}
	return verb, rest, nil
}

func (q *query) putQuestion(c *proto.ConsultQuery) consulted {
	a, err := q.rules.world.Agents.Consult(q.ctx, c)
	switch {
	case err != nil:
		return consulted{err: fmt.Errorf("ask the program: %w", err)}
	case a.Trouble != "":
		return consulted{err: errors.New(a.Trouble)}
	}
	line, _, _ := strings.Cut(a.Output.ForWire(), "\n")
	return consulted{line: strings.TrimSpace(strings.ToValidUTF8(line, "?"))}
}
