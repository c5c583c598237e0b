package router

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"filbert/pkg/callout"
	"filbert/pkg/mailaddr"
	"filbert/pkg/pattern"
	"filbert/pkg/resolve"
	"filbert/pkg/route"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// passwdPath is the password file of the system.
const passwdPath = "/etc/passwd"

// World is what rules are made in: the machine around them.
type World struct {
	Servers []netip.AddrPort // name servers where dns.servers names none
	Addrs   []netip.Addr     // of this machine's interfaces
	Passwd  string           // "" = /etc/passwd
	UID     uint32           // who we are, for instances that change no user
	GID     uint32
	Now     func() time.Time
	Chance  route.Chance
	// Tables answer for the lookups: nil = those of the configuration.
	Tables tableSet
	// Callouts is the memory of call-outs, which outlives rules.
	Callouts *callout.Memory
	// recalled is closed when Callouts has what an earlier run knew, or when that was
	// waited for long enough; nil = there was no earlier run.
	recalled chan struct{}
	// Agents do what this process can't: nil = those of the suite.
	Agents Agents
	// Figures count.
	Figures Figures
	// Tell reports what an administrator has to mend.
	Tell func(doing string, err error)
}

// rules is one configuration, ready for use. It is not changed after it was
// made; its files and caches look after themselves.
type rules struct {
	world      World
	settings   *settings.Settings
	local      pattern.Asking
	tables     tableSet
	varies     variance // what routes depend on beside the domain
	home       string   // the domain of bare names
	postmaster mailaddr.Address
	directors  []*director
	routers    []*remote
	passwd     *passwdFile
	resolver   *resolve.Resolver
	own        *route.Own
	cache      *routeCache
	warnings   []error // about files, at the start: no reason not to serve

	users sync.WaitGroup // queries under way
	loud  limiter
}

// compile makes rules of settings, whole or not at all.
func compile(s *settings.Settings, w World) (*rules, error) {
	if w.Passwd == "" {
		w.Passwd = passwdPath
	}
	r := &rules{world: w, settings: s, cache: newRouteCache(s.DNS.CacheSize), own: ownOf(s, w.Addrs)}
	local := s.Domains.Local
	if len(local) == 0 {
		local = []string{s.Hostname, "localhost"}
	}
	var err error
	if r.tables, err = openTables(s, w, r.mistake); err != nil {
		return nil, err
	}
	if err = r.complete(local); err != nil {
		r.tables.Close()
		return nil, err
	}
	return r, nil
}

// complete makes of the settings all that may ask the tables.
func (r *rules) complete(local []string) (err error) {
	s := r.settings
	if r.local, err = r.compileAsking(local, pattern.Domains); err != nil {
		return fmt.Errorf("domains.local: %w", err)
	}
	if r.home, err = homeDomain(s.Hostname); err != nil {
		return fmt.Errorf("hostname: %w", err)
	}
	if r.postmaster, err = mailaddr.ParseLocalOrMailbox(untrusted.From(s.Postmaster)); err != nil {
		return fmt.Errorf("postmaster: %w", err)
	}
	if err := r.compileDirectors(); err != nil {
		return err
	}
	if err := r.compileRouters(); err != nil {
		return err
	}
	return r.openResolver()
}

// homeDomain is the hostname as addresses have it.
func homeDomain(hostname string) (string, error) {
	if hostname == "" {
		hostname = "localhost"
	}
	a, err := mailaddr.New("x", hostname)
	return a.Domain(), err
}

func (r *rules) openResolver() error {
	d := r.settings.DNS
	servers, err := resolve.ParseServers(d.Servers)
	if err != nil {
		return fmt.Errorf("dns.servers: %w", err)
	}
	if len(servers) == 0 {
		servers = r.world.Servers
	}
	r.resolver, err = resolve.New(resolve.Options{
		Servers: servers, Timeout: d.Timeout.D(), Deadline: d.Deadline.D(), CacheSize: d.CacheSize,
		MaxTTL: d.MaxTTL.D(), NegativeTTL: d.NegativeTTL.D(), Now: r.world.Now,
		Known: r.world.Figures.dnsKnown, Asked: r.world.Figures.dnsAsked,
	})
	return err
}

// ownOf says what is this machine: its names, addresses and SMTP ports.
func ownOf(s *settings.Settings, addrs []netip.Addr) *route.Own {
	own := &route.Own{Addrs: addrs, Names: []string{strings.ToLower(s.Hostname)}}
	for _, a := range addrs {
		if a.Is6() && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			own.IPv6 = true
		}
	}
	for _, l := range s.Listen {
		_, port, ok := cutLast(l.Address, ":")
		if n, err := parsePort(port); ok && err == nil {
			own.Ports = append(own.Ports, n)
		}
	}
	return own
}

// close ends what the rules hold, once their last query is answered.
func (r *rules) close() {
	r.users.Wait()
	r.resolver.Close()
	r.tables.Close()
}

// tell reports trouble, the same one at most once a minute.
func (r *rules) tell(doing string, err error) {
	if r.world.Tell != nil && r.loud.allow(doing, r.world.Now()) {
		r.world.Tell(doing, err)
	}
}

// mistake is tell for a version of a file that can't be taken. Each is told of
// once, so that a second mistake made while mending the first is not passed over.
func (r *rules) mistake(doing string, err error) {
	if r.world.Tell != nil && r.loud.allow(doing+": "+err.Error(), r.world.Now()) {
		r.world.Tell(doing, err)
	}
}

// limiter lets each text pass once a minute.
type limiter struct {
	mu   sync.Mutex
	last map[string]time.Time
}

const (
	loudEvery = time.Minute
	loudMost  = 1000
)

func (l *limiter) allow(text string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, ok := l.last[text]; ok && now.Sub(t) < loudEvery {
		return false
	}
	if l.last == nil || len(l.last) >= loudMost {
		l.last = make(map[string]time.Time)
	}
	l.last[text] = now
	return true
}
