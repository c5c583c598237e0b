package smtpclient

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unique"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"

	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// login is who we say we are to a server.
type login struct{ user, password string }

// A loginID stands for a login: it can be compared, and prints as an address, so
// that no password gets out by way of a struct that it is in. The zero value is
// nobody.
type loginID = unique.Handle[login]

var nobodyAtAll loginID

func loginOf(user, password string) loginID {
	if user == "" {
		return nobodyAtAll
	}
	return unique.Make(login{user, password})
}

// mechanisms are those that we speak, the best first: SCRAM shows the password
// to nobody, and makes the server prove that it knows us.
func mechanisms() []string { return []string{scramSHA256, sasl.Plain, sasl.Login} }

const scramSHA256 = "SCRAM-SHA-256" // RFC 7677

// Limits of what a server may ask of us.
const (
	// maxIterations bounds the work on a password: half a second or so. A few
	// thousand are usual, RFC 7677, section 4 wants at least 4096.
	maxIterations = 1_000_000
	// maxChallenges is the most that any of the mechanisms has: an empty one for
	// an initial response that was too long, the server's first and final words.
	maxChallenges = 3
)

var (
	errChallenge  = errors.New("the server's challenge makes no sense")
	errIterations = fmt.Errorf("the server wants more than %d iterations of SCRAM", maxIterations)
	errUnproven   = errors.New("the server did not prove that it knows the password")
	errWords      = errors.New("user name or password have characters that this mechanism does not take")
)

// An exchange is AUTH with one mechanism (RFC 4954, section 4), without socket:
// begin says what to send first, answer what to send to a challenge.
type exchange struct {
	name   string
	client sasl.Client
	first  []byte // the initial response, until it is sent
	rounds int
}

func newExchange(name string, l login) (*exchange, error) {
	x := &exchange{name: name}
	switch name {
	case scramSHA256:
		c, err := scram.SHA256.NewClient(l.user, l.password, "")
		if err != nil {
			return nil, errWords // its own may quote a part
		}
		x.client = &scramClient{conv: c.NewConversation()}
	case sasl.Plain:
		x.client = sasl.NewPlainClient("", l.user, l.password)
	default:
		x.client = loginClient{sasl.NewLoginClient(l.user, l.password)}
	}
	if name == sasl.Plain && strings.ContainsRune(l.user+l.password, 0) {
		return nil, errWords // RFC 4616, section 2: NUL separates them
	}
	var err error
	_, x.first, err = x.client.Start()
	return x, err
}

// begin appends the AUTH command. LOGIN has no initial response that all servers
// understand, and no command may be longer than others (RFC 4954, section 4).
func (x *exchange) begin(dst []byte) []byte {
	start := len(dst)
	dst = append(append(dst, "AUTH "...), x.name...)
	if room := smtp.MaxCommandLine - len("\r\n") - (len(dst) - start) - 1; x.name != sasl.Login && base64.StdEncoding.EncodedLen(len(x.first)) <= room {
		dst = base64.StdEncoding.AppendEncode(append(dst, ' '), x.first)
		x.first = nil
	}
	return append(dst, '\r', '\n')
}

// answer appends the line that answers a 334.
func (x *exchange) answer(dst []byte, r smtp.ServerReply) ([]byte, error) {
	if x.rounds++; x.rounds > maxChallenges {
		return dst, fmt.Errorf("%w: one too many", errChallenge)
	}
	text := r.Text.ForWire()
	challenge, err := base64.StdEncoding.DecodeString(text)
	response := x.first
	x.first = nil
	switch {
	case response != nil: // whatever words it prompts with
	case err != nil || strings.ContainsAny(text, "\r\n"):
		return dst, fmt.Errorf("%w: it is not base64", errChallenge)
	default:
		if response, err = x.client.Next(challenge); err != nil {
			return dst, err
		}
	}
	return append(base64.StdEncoding.AppendEncode(dst, response), '\r', '\n'), nil
}

// granted is asked when the server says yes: nil if we take its word for it.
func (x *exchange) granted() error {
	if c, ok := x.client.(*scramClient); ok && !c.conv.Valid() {
		return errUnproven
	}
	return nil
}

// scramClient is SCRAM-SHA-256 (RFC 5802, RFC 7677) as a sasl.Client.
type scramClient struct {
	conv  *scram.ClientConversation
	asked bool // the server's first words were here
}

// Start gives the client's first message.
func (c *scramClient) Start() (mech string, ir []byte, err error) {
	first, err := c.conv.Step("")
	return scramSHA256, []byte(first), err
}

// Next answers the server's first message, and checks its last.
func (c *scramClient) Next(challenge []byte) ([]byte, error) {
	if !c.asked {
		c.asked = true
		if err := checkIterations(string(challenge)); err != nil {
			return nil, err
		}
	}
	out, err := c.conv.Step(string(challenge))
	if err != nil {
		return nil, fmt.Errorf("%w (SCRAM)", errChallenge)
	}
	return []byte(out), nil
}

// checkIterations looks at how often the password is to be hashed before
// anything is.
func checkIterations(first string) error {
	fields := strings.Split(first, ",")
	i := slices.IndexFunc(fields, func(f string) bool { return strings.HasPrefix(f, "i=") })
	if i < 0 {
		return fmt.Errorf("%w (SCRAM)", errChallenge)
	}
	for _, f := range fields[i:] {
		text, ok := strings.CutPrefix(f, "i=")
		if n, err := strconv.Atoi(text); ok && (err != nil || n > maxIterations) {
			return errIterations
		}
	}
	return nil
}

// loginClient takes any prompt for the password: the draft that described LOGIN
// has words for it, servers have others.
type loginClient struct{ sasl.Client }

// Next answers with the password.
func (c loginClient) Next([]byte) ([]byte, error) {
	return c.Client.Next([]byte("Password:"))
}

// quotes tells whether a text of the server has the password in it, as it is or
// as it went out.
func quotes(t untrusted.Text, l login) bool {
	text := t.ForWire()
	for _, secret := range []string{
		l.password,
		base64.StdEncoding.EncodeToString([]byte(l.password)),
		base64.StdEncoding.EncodeToString([]byte("\x00" + l.user + "\x00" + l.password)),
	} {
		if strings.Contains(text, secret) {
			return true
		}
	}
	return false
}
