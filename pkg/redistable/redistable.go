package redistable

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"filbert/pkg/lookup"
	"filbert/pkg/lookup/link"
	"filbert/pkg/settings"
)

// What a connection costs. Ours.
const (
	idleFor    = time.Minute // is how long one that nobody uses is kept
	bufferSize = 4 << 10     // each way; the library's own are eight times that
)

// silence takes the library's log, which is one for the whole process, from
// standard error: what fails comes back as an error.
var silence = sync.OnceFunc(func() { redis.SetLogger(mute{}) })

type mute struct{}

// Printf says nothing.
func (mute) Printf(context.Context, string, ...any) {}

// errNoType is added to what went wrong before there was a type.
var errNoType = errors.New("the type of the key is not known")

// table is a database of keys on servers.
type table struct {
	question lookup.Question
	servers  []lookup.Server
	failover *lookup.Failover
	clients  []*redis.Client
}

// Open makes a table of a database. It asks nobody.
func Open(set settings.Lookup) (lookup.Table, error) {
	silence()
	if set.Query == "" {
		set.Query = "{key}"
	}
	question, err := lookup.ParseQuestion(set.Query)
	if err != nil {
		return nil, err
	}
	if !question.Asks() {
		return nil, lookup.ErrNoPlace
	}
	number, err := databaseNumber(set.Database)
	if err != nil {
		return nil, err
	}
	list, err := lookup.Servers(set)
	if err != nil {
		return nil, err
	}
	trust, err := link.Trust(set, list)
	if err != nil {
		return nil, err
	}
	t := &table{question: question, servers: list, failover: lookup.NewFailover(list, lookup.TimeoutOf(set))}
	for _, s := range list {
		o := options(set)
		o.Network, o.Addr, o.DB = s.Network, s.Address, number
		o.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) { return link.Dial(ctx, s, trust) }
		t.clients = append(t.clients, redis.NewClient(o))
	}
	return t, nil
}

func databaseNumber(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("database %q is no number", text)
	}
	return int(n), nil
}

// options turns off all that the library would do by itself.
func options(set settings.Lookup) *redis.Options {
	timeout := lookup.TimeoutOf(set)
	return &redis.Options{
		Username: set.Username, Password: set.Password,
		Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		PoolSize:                 lookup.ConnectionsOf(set), MaxActiveConns: lookup.ConnectionsOf(set),
		PipelinePoolSize: -1, // the same connections serve pipelines
		ConnMaxIdleTime:  idleFor,
		ReadBufferSize:   bufferSize, WriteBufferSize: bufferSize,
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout,
		ContextTimeoutEnabled: true,
		DialerRetries:         1,
		// Once: the connection may have been ended long ago.
		MaxRetries: 1, MinRetryBackoff: -1, MaxRetryBackoff: -1,
	}
}

// Find asks the servers in order.
func (t *table) Find(ctx context.Context, key string) (lookup.Answer, error) {
	subject, ok := lookup.SubjectOf(key)
	if !ok {
		return lookup.Answer{}, nil
	}
	// There is nothing to escape: a key is octets with a length before them.
	name, ok := t.question.Fill(subject, func(s string) string { return s })
	if !ok {
		return lookup.Answer{}, nil
	}
	var a lookup.Answer
	err := t.failover.Ask(ctx, func(ctx context.Context, server int) (err error) {
		a, err = find(ctx, t.clients[server], name)
		a.Where = "redis " + t.servers[server].Name
		return err
	})
	if err != nil {
		return lookup.Answer{}, err
	}
	return a, nil
}

func find(ctx context.Context, c *redis.Client, name string) (lookup.Answer, error) {
	values, found, err := fetch(ctx, c, name)
	if err == nil {
		err = lookup.Usable(values)
	}
	if err != nil {
		return lookup.Answer{}, err
	}
	return lookup.Answer{Found: found, Values: values}, nil
}

// fetch asks for the type and for the beginning of a string at once, for that
// is what most keys are; a string longer than any value is cut, one octet behind
// what is allowed.
func fetch(ctx context.Context, c *redis.Client, name string) (values []string, found bool, err error) {
	p := c.Pipeline()
	kind, text := p.Type(ctx, name), p.GetRange(ctx, name, 0, lookup.MaxValue)
	// Each has an error of its own, but for what came before them, as a login.
	if _, err := p.Exec(ctx); kind.Val() == "" {
		return nil, false, errors.Join(kind.Err(), err, errNoType)
	}
	switch kind.Val() {
	case "none":
		return nil, false, nil
	case "string":
		if text.Err() != nil || text.Val() != "" {
			return []string{text.Val()}, true, text.Err()
		}
		return empty(ctx, c, name)
	case "list":
		values, err = c.LRange(ctx, name, 0, lookup.MaxValues).Result()
	case "zset":
		values, err = c.ZRange(ctx, name, 0, lookup.MaxValues).Result()
	case "set":
		values, err = members(ctx, c, name)
	default:
		err = fmt.Errorf("%w: the key holds a %s", lookup.ErrUnusable, kind.Val())
	}
	return values, err == nil, err
}

// empty tells an empty string from one that was removed between the questions.
func empty(ctx context.Context, c *redis.Client, name string) ([]string, bool, error) {
	v, err := c.Get(ctx, name).Result()
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	return []string{v}, err == nil, err
}

func members(ctx context.Context, c *redis.Client, name string) ([]string, error) {
	// There is no way to ask for some of a set in one answer.
	n, err := c.SCard(ctx, name).Result()
	if err != nil {
		return nil, err
	}
	if n > lookup.MaxValues {
		return nil, fmt.Errorf("%w: a set of %d members", lookup.ErrUnusable, n)
	}
	values, err := c.SMembers(ctx, name).Result()
	slices.Sort(values)
	return values, err
}

// Close ends all connections.
func (t *table) Close() {
	for _, c := range t.clients {
		_ = c.Close()
	}
}
