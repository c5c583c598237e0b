package smtpclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"sync/atomic"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/inquiry"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/rewrite"
	"filbert/pkg/service"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// ticketCache is how many TLS sessions are remembered for resumption.
const ticketCache = 1000

// Client delivers messages to servers and keeps the connections.
type Client struct {
	routes  atomic.Pointer[map[string]*route]
	pool    *pool
	router  inquiry.Caller // for the lookups of rewriting; nil: nobody to ask
	board   *service.Scoreboard
	figures figures
	log     *event.Log
	tickets tls.ClientSessionCache
	roots   *x509.CertPool // who may vouch for servers
	dial    dialFunc
	// tellRewrites is settings.Log.Rewrites.
	tellRewrites atomic.Bool
	// callOuts has a place for each call-out that may be under way.
	callOuts chan struct{}
}

// NewClient makes a client for the smtp and lmtp transports of s. It reads the
// certificates of the authorities, which can't be done in confinement.
func NewClient(s *settings.Settings, board *service.Scoreboard, log *event.Log) (*Client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		// Only what needs a verified certificate waits, and says so.
		log.Emit(event.TroubleOf(0, "read the certificates of authorities", err))
		roots = x509.NewCertPool()
	}
	c := &Client{
		roots:    roots,
		pool:     newPool(),
		board:    board,
		log:      log,
		tickets:  tls.NewLRUClientSessionCache(ticketCache),
		dial:     dial,
		callOuts: make(chan struct{}, maxCallOuts),
	}
	return c, c.Configure(s)
}

// Configure puts other settings in force, for the jobs that begin from now on.
// On an error the old ones stay.
func (c *Client) Configure(s *settings.Settings) error {
	rules, err := rewrite.Compile(s.Rewrites, s.Transports)
	if err != nil {
		return err
	}
	routes := make(map[string]*route)
	for name, t := range s.Transports {
		if t.Driver != "smtp" && t.Driver != "lmtp" {
			continue
		}
		r, err := newRoute(name, t, s.Hostname)
		if err != nil {
			return err
		}
		r.header = headerLimits(&s.Limits)
		r.rewrites = rules.Outgoing(t.Rewrites)
		routes[name] = r
	}
	c.tellRewrites.Store(s.Log.Rewrites)
	c.routes.Store(&routes)
	// What is idle was opened under the old settings.
	c.pool.flush()
	return nil
}

// Close ends the idle connections; those in use end with their job.
func (c *Client) Close() { c.pool.close() }

// Deliver makes the transaction of a job and returns one outcome for each of
// its recipients, and what each server did. files are the descriptors that came with the job; they
// remain the caller's. When ctx is done, nothing is begun that could deliver.
func (c *Client) Deliver(ctx context.Context, job *proto.RemoteJob, files []*os.File) proto.RemoteDone {
	d := &delivery{client: c, job: job, outs: make([]outcome.Outcome, len(job.Recipients))}
	targets, err := d.prepare(ctx, (*c.routes.Load())[job.Transport], files)
	if err != nil {
		d.site = outcome.Defer(outcome.Internal, statusOf(outcome.Internal), "%v", err)
		return proto.RemoteDone{Outcomes: d.finish()}
	}
	d.advise(targets)
	c.preferIdle(job.Hosts, targets)
	for i := range targets {
		if d.left() == 0 || d.stop {
			break
		}
		d.try(ctx, &targets[i])
	}
	return proto.RemoteDone{Outcomes: d.finish(), Tried: d.tried}
}

// preferIdle puts a server to which a connection is kept before others of the
// same preference. RFC 5321, section 5.1 wants these in random order to spread
// the load; a kept connection costs the least load of all.
func (c *Client) preferIdle(hosts []proto.Host, targets []target) {
	for i := 1; i < len(targets) && i < len(hosts) && hosts[i].Pref == hosts[0].Pref; i++ {
		if c.pool.hasIdle(targets[0].key()) {
			return
		}
		if c.pool.hasIdle(targets[i].key()) {
			targets[0], targets[i] = targets[i], targets[0]
			return
		}
	}
}

// session is a kept session or a new one to t. kept says which.
func (c *Client) session(ctx context.Context, t *target, want freshness, end time.Time) (s *session, kept bool, f *failure) {
	s, err := c.pool.take(ctx, t.key(), t.route.conf.ConnectionsPerHost, want, end)
	switch {
	case err != nil:
		return nil, false, &failure{
			out:   outcome.Defer(outcome.Busy, statusOf(outcome.Busy), "%s: %v", t.label(), err),
			cause: err,
		}
	case s != nil:
		s.end = end
		c.figures.reused.Add(1)
		if s.target.name != t.name {
			s.target.name, s.label = t.name, t.label()
		}
		s.target.advice = t.advice
		return s, true, nil
	}
	began := time.Now()
	if s, f = c.open(ctx, t, end); f != nil {
		c.pool.drop(t.key())
		return nil, false, f
	}
	c.figures.opened.Took(time.Since(began))
	if c.log.Debugging() {
		c.log.Emit(event.NoteOf(0, "connected", untrusted.From(s.label+" "+s.tls)))
	}
	return s, false, nil
}
