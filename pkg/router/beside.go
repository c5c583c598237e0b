package router

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/resolve"
	"filbert/pkg/settings"
)

// maxBeside bounds a BesideQuery: 10,000 addresses and the settings.
const maxBeside = 64 << 20

// Beside answers one proto.BesideQuery and is done. It serves nobody: it has no
// arrow to the suite, so that forward files and programs that only other daemons may read
// or run are away, and what needs them is deferred.
func Beside(in io.Reader, out io.Writer) error {
	var q proto.BesideQuery
	if err := json.NewDecoder(io.LimitReader(in, maxBeside)).Decode(&q); err != nil {
		return fmt.Errorf("read the question: %w", err)
	}
	if len(q.Queries) > proto.MaxBeside {
		return fmt.Errorf("%d addresses are too many", len(q.Queries))
	}
	var s settings.Settings
	if err := json.Unmarshal(q.Settings, &s); err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	r, err := alone(&s)
	if err != nil {
		return err
	}
	defer r.rules.close()
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	for i := range q.Queries {
		query, err := q.Queries[i].Route()
		if err != nil { // the address was read once, and may be no address by now
			err = enc.Encode(&proto.ExplainAnswer{})
		} else {
			err = enc.Encode(r.Answer(context.Background(), query).Explained())
		}
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

// alone is a router without a suite.
func alone(s *settings.Settings) (*Router, error) {
	w := World{Now: time.Now, Chance: luck{}, Agents: noAgents{}, Callouts: newCallouts(s), Tell: func(string, error) {},
		UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	var err error
	if w.Addrs, err = ownAddrs(); err != nil {
		return nil, err
	}
	if w.Servers, err = resolve.SystemServers(resolvConf); err != nil {
		return nil, err
	}
	r := New(w)
	r.rules, err = compile(s, w)
	return r, err
}

// noAgents are the daemons of a suite that is not there.
type noAgents struct{}

var errNoSuite = errors.New("only the running suite can ask that")

// Forward is Agents'.
func (noAgents) Forward(context.Context, *proto.ForwardQuery) (*proto.ForwardAnswer, error) {
	return nil, errNoSuite
}

// Consult is Agents'.
func (noAgents) Consult(context.Context, *proto.ConsultQuery) (*proto.ConsultAnswer, error) {
	return nil, errNoSuite
}

// Callout is Agents'.
func (noAgents) Callout(context.Context, *proto.CalloutQuery) (*proto.CalloutAnswer, error) {
	return nil, errNoSuite
}
