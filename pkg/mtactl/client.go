package mtactl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"

	"filbert/pkg/proto"
)

// The bounds of an exchange with a control socket. A listing of a large queue
// is a stream, for which only silence counts.
const (
	answerTimeout  = 30 * time.Second
	explainTimeout = 90 * time.Second // routing may wait for name servers
	orderTimeout   = 10 * time.Minute // an order may go through a large queue
	maxAnswer      = 64 << 20
)

// client speaks to one control socket.
type client struct {
	socket  string
	timeout time.Duration
	http    *http.Client
}

func newClient(socket string) *client {
	d := net.Dialer{Timeout: 5 * time.Second}
	return &client{socket: socket, timeout: answerTimeout, http: &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return d.DialContext(ctx, "unix", socket)
			},
			DisableKeepAlives: true,
		},
	}}
}

// patient is the client with more time for an answer.
func (c *client) patient(d time.Duration) *client {
	p := *c
	p.timeout = d
	return &p
}

// get asks and decodes the answer.
func (c *client) get(ctx context.Context, path string, into any) error {
	return c.call(ctx, http.MethodGet, path, nil, into)
}

// post sends in, which may be nil, and decodes the answer.
func (c *client) post(ctx context.Context, path string, in, into any) error {
	return c.call(ctx, http.MethodPost, path, in, into)
}

func (c *client) call(ctx context.Context, method, path string, in, into any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	body, err := c.open(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer body.Close()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(into); err != nil {
		return fail(exUnavailable, "", "the answer of %s cannot be read", c.socket).because(err)
	}
	return nil
}

// open sends a request and gives the body of a good answer.
func (c *client) open(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("write the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	// The host is a formality: the socket is the address.
	req, err := http.NewRequestWithContext(ctx, method, "http://filbert"+path, body)
	if err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return res.Body, nil
	}
	defer res.Body.Close()
	return nil, refusal(res)
}

// errNotRunning is wrapped when nobody listens on a control socket.
var errNotRunning = errors.New("nothing answers on its control socket")

func (c *client) unreachable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fail(exUnavailable, "mtactl start starts it", "the suite does not run").marked(errNotRunning)
	case errors.Is(err, fs.ErrPermission):
		return fail(exNoPerm, "run the command as root, as the owner of the instance, or as a member of its administrators' group",
			"not permitted to use %s", c.socket)
	case errors.Is(err, syscall.EINVAL):
		return fail(exConfig, "move the instance to a directory with a shorter name", "the path of %s is too long for a socket", c.socket)
	}
	return fail(exUnavailable, "mtactl status tells more; so does the log (mtactl tail)", "no answer on %s", c.socket).because(err)
}

// refusal turns an answer that is no success into an error.
func refusal(res *http.Response) error {
	code := exUnavailable
	switch res.StatusCode {
	case http.StatusForbidden:
		code = exNoPerm
	case http.StatusNotFound, http.StatusBadRequest:
		code = exDataErr
	case http.StatusUnprocessableEntity:
		code = exConfig
	}
	var e proto.ControlError
	data, _ := io.ReadAll(io.LimitReader(res.Body, proto.ControlMax))
	if json.Unmarshal(data, &e) != nil || e.Error == "" {
		e.Error = fmt.Sprintf("refused with status %s", res.Status)
	}
	return fail(code, show(e.Hint), "%s", show(e.Error)).marked(&statusError{res.StatusCode, data})
}

// statusError keeps the whole answer for those who know more about it.
type statusError struct {
	status int
	body   []byte
}

func (e *statusError) Error() string { return http.StatusText(e.status) }
