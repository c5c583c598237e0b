package resolvetest

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"
)

// Server is a running name server.
type Server struct {
	udp, tcp *dns.Server
	done     sync.WaitGroup
	addr     netip.AddrPort

	zone    atomic.Pointer[zone]
	queries atomic.Int64
	overTCP atomic.Int64

	mu     sync.Mutex
	more   *sync.Cond     // of mu: another query
	counts map[string]int // "example.org. MX": queries
}

// Start serves zone text on an address (UDP and TCP on the same port; port 0
// picks one).
func Start(addr, text string) (*Server, error) {
	z, err := parse(text)
	if err != nil {
		return nil, err
	}
	s := &Server{counts: make(map[string]int)}
	s.more = sync.NewCond(&s.mu)
	s.zone.Store(z)
	pc, ln, err := listen(addr)
	if err != nil {
		return nil, err
	}
	s.addr = pc.LocalAddr().(*net.UDPAddr).AddrPort()
	s.addr = netip.AddrPortFrom(s.addr.Addr().Unmap(), s.addr.Port())
	s.udp = &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(s.serve)}
	s.tcp = &dns.Server{Listener: ln, Handler: dns.HandlerFunc(s.serve)}
	for _, d := range []*dns.Server{s.udp, s.tcp} {
		started := make(chan struct{})
		d.NotifyStartedFunc = func() { close(started) }
		s.done.Go(func() { _ = d.ActivateAndServe() }) // its end is Close's doing
		<-started
	}
	return s, nil
}

// listen finds a port that is free for both.
func listen(addr string) (net.PacketConn, net.Listener, error) {
	for try := 0; ; try++ {
		pc, err := net.ListenPacket("udp", addr)
		if err != nil {
			return nil, nil, fmt.Errorf("listen: %w", err)
		}
		ln, err := net.Listen("tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, ln, nil
		}
		pc.Close()
		if try == 20 {
			return nil, nil, fmt.Errorf("listen: %w", err)
		}
	}
}

// Addr is where it listens.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Queries is how many there were so far.
func (s *Server) Queries() int { return int(s.queries.Load()) }

// OverTCP is how many of them came over TCP.
func (s *Server) OverTCP() int { return int(s.overTCP.Load()) }

// Asked is how many queries there were for a name and type ("MX").
func (s *Server) Asked(name, typ string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[dns.CanonicalName(name)+" "+typ]
}

// Await returns when there were n queries.
func (s *Server) Await(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.Queries() < n {
		s.more.Wait()
	}
}

// SetZone replaces the zone.
func (s *Server) SetZone(text string) error {
	z, err := parse(text)
	if err == nil {
		s.zone.Store(z)
	}
	return err
}

// Close stops it and waits.
func (s *Server) Close() {
	_ = s.udp.Shutdown()
	_ = s.tcp.Shutdown()
	s.done.Wait()
}

func (s *Server) serve(w dns.ResponseWriter, req *dns.Msg) {
	s.queries.Add(1)
	_, udp := w.RemoteAddr().(*net.UDPAddr)
	if !udp {
		s.overTCP.Add(1)
	}
	if len(req.Question) != 1 {
		return
	}
	q := req.Question[0]
	s.mu.Lock()
	s.counts[dns.CanonicalName(q.Name)+" "+dns.TypeToString[q.Qtype]]++
	s.more.Broadcast()
	s.mu.Unlock()
	z := s.zone.Load()
	m := z.truth(req)
	l := z.lie(q)
	if l == nil {
		send(w, m, udp, req)
		return
	}
	l.tell(w, m, udp, req)
}

// truth is the honest answer.
func (z *zone) truth(req *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(req)
	m.Authoritative, m.RecursionAvailable = true, true
	if o := req.IsEdns0(); o != nil {
		m.SetEdns0(4096, false)
	}
	rrs, exists := z.answer(req.Question[0])
	m.Answer = rrs
	if !exists {
		m.Rcode = dns.RcodeNameError
	}
	if len(rrs) == 0 {
		m.Ns = []dns.RR{&dns.SOA{Hdr: header(".", dns.TypeSOA), Ns: "ns.", Mbox: "root.", Minttl: 60, Refresh: 1, Retry: 1, Expire: 1}}
	}
	return m
}

func send(w dns.ResponseWriter, m *dns.Msg, udp bool, req *dns.Msg) {
	if udp {
		size := dns.MinMsgSize
		if o := req.IsEdns0(); o != nil {
			size = int(o.UDPSize())
		}
		m.Truncate(size)
	}
	m.Compress = true
	_ = w.WriteMsg(m) // a client that is gone is not our concern
}

func (l *lie) tell(w dns.ResponseWriter, m *dns.Msg, udp bool, req *dns.Msg) {
	switch l.verb {
	case "drop":
		return
	case "servfail", "refused", "nxdomain", "formerr":
		m.Answer = nil
		m.Rcode = map[string]int{"servfail": dns.RcodeServerFailure, "refused": dns.RcodeRefused,
			"nxdomain": dns.RcodeNameError, "formerr": dns.RcodeFormatError}[l.verb]
	case "lame":
		m.Answer, m.Authoritative, m.RecursionAvailable, m.Rcode = nil, false, false, dns.RcodeSuccess
		m.Ns = []dns.RR{&dns.NS{Hdr: header("example.", dns.TypeNS), Ns: "ns.elsewhere.example."}}
	case "truncate":
		if udp {
			m.Answer, m.Truncated = nil, true
		}
	case "cut", "garbage":
		l.spoil(w, m)
		return
	case "wrongid", "forge":
		forged := m.Copy()
		forged.Id ^= 0x5555
		forged.Answer = []dns.RR{&dns.A{Hdr: header(req.Question[0].Name, dns.TypeA), A: net.IPv4(203, 0, 113, 66).To4()}}
		_ = w.WriteMsg(forged)
		if l.verb == "wrongid" {
			return
		}
	case "wrongname":
		m.Question[0].Name = "other.example."
	case "lowercase":
		m.Question[0].Name = strings.ToLower(m.Question[0].Name)
	case "noedns":
		if req.IsEdns0() != nil {
			m = new(dns.Msg)
			m.SetRcode(req, dns.RcodeFormatError)
		}
	}
	send(w, m, udp, req)
}

// spoil sends octets that are no message.
func (l *lie) spoil(w dns.ResponseWriter, m *dns.Msg) {
	packet, err := m.Pack()
	if err != nil {
		return
	}
	if l.verb == "cut" {
		packet = packet[:min(l.n, len(packet))]
	} else {
		packet = append(packet[:2:2], 0x84, 0x00)
		packet = append(packet, bytes.Repeat([]byte{0xff}, 64)...)
	}
	_, _ = w.Write(packet)
}
