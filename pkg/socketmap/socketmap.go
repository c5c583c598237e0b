package socketmap

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"filbert/pkg/lookup"
	"filbert/pkg/lookup/link"
	"filbert/pkg/settings"
)

// table is a map that servers have.
type table struct {
	name     string
	servers  []lookup.Server
	failover *lookup.Failover
	pools    []*lookup.Pool[*conn]
}

type conn struct {
	net.Conn
	in *bufio.Reader
}

// Open makes a table of a map. It asks nobody.
func Open(set settings.Lookup) (lookup.Table, error) {
	if set.Database == "" || strings.ContainsFunc(set.Database, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, fmt.Errorf("%q is no name of a map: set database to one without blanks", set.Database)
	}
	list, err := lookup.Servers(set)
	if err != nil {
		return nil, err
	}
	trust, err := link.Trust(set, list)
	if err != nil {
		return nil, err
	}
	t := &table{name: set.Database, servers: list, failover: lookup.NewFailover(list, lookup.TimeoutOf(set))}
	for _, s := range list {
		dial := func(ctx context.Context) (*conn, error) {
			c, err := link.Dial(ctx, s, trust)
			if err != nil {
				return nil, err
			}
			return &conn{c, bufio.NewReader(c)}, nil
		}
		t.pools = append(t.pools, lookup.NewPool(lookup.ConnectionsOf(set), dial, func(c *conn) { c.Close() }))
	}
	return t, nil
}

// Find asks the servers in order.
func (t *table) Find(ctx context.Context, key string) (lookup.Answer, error) {
	if _, ok := lookup.SubjectOf(key); !ok {
		return lookup.Answer{}, nil
	}
	var a lookup.Answer
	err := t.failover.Ask(ctx, func(ctx context.Context, server int) error {
		return t.pools[server].Do(ctx, func(ctx context.Context, c *conn) (err error) {
			a, err = c.ask(ctx, t.name+" "+key)
			a.Where = "socketmap " + t.servers[server].Name
			return err
		})
	})
	if err != nil {
		return lookup.Answer{}, err
	}
	return a, nil
}

// ask has one question answered.
func (c *conn) ask(ctx context.Context, question string) (lookup.Answer, error) {
	// Failover gives every question a deadline; a caller who leaves ends it too.
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	reply, err := c.exchange(question)
	if !stop() {
		err = errors.Join(ctx.Err(), err) // the deadline is in the past, and stays there
	}
	if err != nil {
		return lookup.Answer{}, fmt.Errorf("%w: %w", lookup.ErrBroken, err)
	}
	a, err := parseReply(reply)
	if errors.Is(err, errProtocol) {
		err = fmt.Errorf("%w: %w", lookup.ErrBroken, err)
	}
	return a, err
}

func (c *conn) exchange(question string) (string, error) {
	if _, err := c.Write(appendNetstring(nil, question)); err != nil {
		return "", err
	}
	reply, err := readNetstring(c.in)
	if err != nil {
		return "", err
	}
	if c.in.Buffered() > 0 {
		// Whose answer would the next one be?
		return "", fmt.Errorf("%w: more than one reply", errProtocol)
	}
	return reply, nil
}

// Close ends the connections.
func (t *table) Close() {
	for _, p := range t.pools {
		p.Close()
	}
}
