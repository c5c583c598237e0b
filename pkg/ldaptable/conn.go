package ldaptable

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/go-ldap/ldap/v3"

	"filbert/pkg/lookup"
	"filbert/pkg/lookup/link"
)

// dialer makes connections to one server.
type dialer struct {
	server             lookup.Server
	username, password string
	trust              *tls.Config
	timeout            time.Duration
}

// conn is a connection that has said who it is.
type conn struct {
	*ldap.Conn
	raw net.Conn // ends all that goes on, when closed
}

func (d dialer) dial(ctx context.Context) (*conn, error) {
	raw, err := link.Dial(ctx, d.server, d.trust)
	if err != nil {
		return nil, err
	}
	c := &conn{ldap.NewConn(raw, d.server.TLS == lookup.Wrapped), raw}
	c.Start()
	c.SetTimeout(d.timeout)
	err = c.within(ctx, func() error {
		if d.server.TLS == lookup.InBand {
			if err := c.StartTLS(link.TLS(d.server, d.trust)); err != nil {
				return fmt.Errorf("start TLS: %w", err)
			}
		}
		if d.username == "" {
			return nil
		}
		if err := c.Bind(d.username, d.password); err != nil {
			return fmt.Errorf("bind as %s: %w", d.username, err)
		}
		return nil
	})
	if err != nil {
		c.end()
		return nil, err
	}
	return c, nil
}

// within does something that ends when ctx does, by the end of the connection:
// the library itself knows no contexts.
func (c *conn) within(ctx context.Context, do func() error) error {
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	err := do()
	if !stop() {
		return errors.Join(ctx.Err(), err)
	}
	return err
}

func (c *conn) end() {
	c.raw.Close()
	_ = c.Conn.Close()
}

// question is one search.
type question struct {
	base, filter string
	scope        int
	attributes   []string
	mayLack      bool // the base need not exist
	leaveOut     bool // what other servers would have to be asked for is not wanted
}

// errElsewhere is why an answer is none: RFC 4511, section 4.5.3. Nobody knows
// whether the key is there, and "not found" would return mail.
var errElsewhere = errors.New(`a part of the directory lies on another server (a referral), which is not asked: ` +
	`narrow the base, or set referrals = "ignore" if nothing is wanted from there`)

func (c *conn) ask(ctx context.Context, q question) (lookup.Answer, error) {
	request := &ldap.SearchRequest{
		BaseDN: q.base, Scope: q.scope, DerefAliases: ldap.NeverDerefAliases,
		SizeLimit: lookup.MaxValues, EnforceSizeLimit: true,
		Filter: q.filter, Attributes: q.attributes,
	}
	if deadline, ok := ctx.Deadline(); ok {
		// The server gives up too, when we have.
		request.TimeLimit = int(time.Until(deadline)/time.Second) + 1
	}
	var result *ldap.SearchResult
	err := c.within(ctx, func() (err error) {
		result, err = c.Search(request)
		return err
	})
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) && q.mayLack:
		return lookup.Answer{}, nil
	case err != nil:
		// After any error, for a server that is busy or going down says so first.
		return lookup.Answer{}, fmt.Errorf("%w: %w", lookup.ErrBroken, err)
	}
	return answer(result, q)
}

func answer(result *ldap.SearchResult, q question) (lookup.Answer, error) {
	if len(result.Referrals) > 0 && !q.leaveOut {
		return lookup.Answer{}, errElsewhere
	}
	a := lookup.Answer{Found: len(result.Entries) > 0}
	for _, e := range result.Entries {
		for _, name := range q.attributes {
			a.Values = append(a.Values, e.GetEqualFoldAttributeValues(name)...)
		}
	}
	if err := lookup.Usable(a.Values); err != nil {
		return lookup.Answer{}, err
	}
	return a, nil
}
