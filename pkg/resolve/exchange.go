package resolve

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// udpSize is what we say we can take in one datagram: below the point where
// fragments begin (RFC 9715, section 3.2).
const udpSize = 1232

// maxStray bounds the datagrams of one query that are no answer to it:
// somebody is guessing ids.
const maxStray = 64

// Errors of one exchange with one server.
var (
	errStray  = errors.New("too many answers to other questions")
	errNoSync = errors.New("answer to another question")
)

// query asks one server once: UDP, then TCP where that is needed.
func query(ctx context.Context, server netip.AddrPort, q question) (*dns.Msg, error) {
	m, err := exchange(ctx, server, newQuery(q, withEDNS))
	if err != nil {
		return nil, err
	}
	if m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented {
		// RFC 6891, section 7: a server that knows no EDNS says so like this.
		return exchange(ctx, server, newQuery(q, withoutEDNS))
	}
	return m, nil
}

func exchange(ctx context.Context, server netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
	reply, err := overUDP(ctx, server, m)
	if err != nil || reply != nil {
		return reply, err
	}
	return overTCP(ctx, server, m)
}

type edns int

const (
	withoutEDNS edns = iota
	withEDNS
)

func newQuery(q question, e edns) *dns.Msg {
	var random [2 + maxName/8 + 1]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	m := &dns.Msg{MsgHdr: dns.MsgHdr{Id: binary.BigEndian.Uint16(random[:]), RecursionDesired: true}}
	name := mixCase(q.name, random[2:]) + "."
	m.Question = []dns.Question{{Name: name, Qtype: q.typ, Qclass: dns.ClassINET}}
	if e == withEDNS {
		m.SetEdns0(udpSize, false)
	}
	return m
}

// mixCase gives each letter a random case: a forger has to guess that too.
func mixCase(name string, random []byte) string {
	b := []byte(name)
	for i, c := range b {
		if 'a' <= c && c <= 'z' && random[i/8]>>(i%8)&1 == 1 {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// overUDP gives nil without error when the question is to be asked over TCP.
func overUDP(ctx context.Context, server netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
	packed, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("encode query: %w", err)
	}
	// Connected, so that the kernel takes answers from that server alone and
	// reports its refusals; bound to no port, so that it picks a random one.
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop, err := obey(ctx, conn)
	if err != nil {
		return nil, err
	}
	defer stop()
	if _, err := conn.Write(packed); err != nil {
		return nil, err
	}
	buf := make([]byte, 4096)
	for range maxStray {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		reply, verdict := judge(buf[:n], m)
		switch verdict {
		case isReply:
			return reply, nil
		case askTCP:
			return nil, nil
		}
	}
	return nil, errStray
}

type verdict int

const (
	isStray verdict = iota
	isReply
	askTCP
)

// judge says what to do with a datagram: forged and late ones are ignored, as
// the true answer may be behind them.
func judge(packet []byte, m *dns.Msg) (*dns.Msg, verdict) {
	const headerSize, flagTC = 12, 0x02
	if len(packet) < headerSize || binary.BigEndian.Uint16(packet) != m.Id || packet[2]&0x80 == 0 {
		return nil, isStray
	}
	if packet[2]&flagTC != 0 {
		return nil, askTCP
	}
	reply := new(dns.Msg)
	if err := reply.Unpack(packet); err != nil {
		// With the right id it is the server's own, or a very lucky guess. TCP
		// tells: it is either whole there or as broken.
		return nil, askTCP
	}
	switch {
	case !answers(reply, m):
		return nil, isStray
	case len(reply.Question) == 1 && reply.Question[0].Name != m.Question[0].Name:
		// The letters' case is not as we sent it: a server that changes it, or
		// a forger. Over TCP it cannot be the latter.
		return nil, askTCP
	}
	return reply, isReply
}

// answers reports whether reply is one to m. Only an error may leave the
// question out: servers that cannot read a query do.
func answers(reply, m *dns.Msg) bool {
	if !reply.Response || reply.Id != m.Id || reply.Opcode != dns.OpcodeQuery {
		return false
	}
	if len(reply.Question) == 0 {
		return reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError
	}
	a, b := reply.Question[0], m.Question[0]
	return len(reply.Question) == 1 && a.Qtype == b.Qtype && a.Qclass == b.Qclass && sameName(a.Name, b.Name)
}

// overTCP asks on a connection of its own: cut answers are too rare to keep
// one open for (RFC 7766, section 6.2.1 allows both).
func overTCP(ctx context.Context, server netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
	packed, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("encode query: %w", err)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop, err := obey(ctx, conn)
	if err != nil {
		return nil, err
	}
	defer stop()
	frame := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(packed)), uint16(len(packed)))
	if _, err := conn.Write(append(frame, packed...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	packet := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, packet); err != nil {
		return nil, err
	}
	reply := new(dns.Msg)
	if err := reply.Unpack(packet); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if !answers(reply, m) {
		return nil, errNoSync
	}
	return reply, nil
}

var errMalformed = errors.New("malformed message")

// obey makes reads and writes of conn end with ctx.
func obey(ctx context.Context, conn net.Conn) (stop func() bool, err error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(maxQuery)
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }), nil
}

// kindOf says which kind of failure an error of an exchange is.
func kindOf(err error) Kind {
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return TimedOut
	case errors.Is(err, errStray), errors.Is(err, errNoSync), errors.Is(err, errMalformed),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return BadAnswer
	}
	return Unreachable
}
