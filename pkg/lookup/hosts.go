package lookup

import (
	"cmp"
	"slices"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/pattern"
)

// MaxHosts bounds a table of hosts.
const MaxHosts = 64 << 20

// Hosts says which hosts have the mail of a domain:
//
//	# domain              hosts, tried in order
//	example.org           mx.example.org  mx2.example.org:2525
//	*.intern.example.org  [10.1.2.3]
//	*                     relay.example.net
//
// An exact name goes before patterns, a longer pattern before a shorter one,
// whatever the order of the lines: so "*" is what is left.
type Hosts struct {
	exact    map[string]Route
	patterns []hostPattern
}

// Route is one line.
type Route struct {
	Hosts []string
	Line  int // 0: from the configuration
	Key   string
}

type hostPattern struct {
	list  pattern.List
	route Route
}

// ParseHosts reads a table; the error is of type *Problems. Each host is
// checked by checkHost, which says what is wrong with it.
func ParseHosts(name string, data []byte, checkHost func(string) error) (*Hosts, error) {
	t := &Hosts{exact: make(map[string]Route)}
	var ps Problems
	eachLine(name, data, &ps, func(n int, line string) {
		f := strings.Fields(line)
		if err := t.add(Route{Key: f[0], Hosts: f[1:], Line: n}, checkHost); err != "" {
			ps.Add(name, n, "%s", err)
		}
	})
	t.sort()
	return t, ps.Err()
}

// HostsOf makes a table of a map, as it stands in the configuration.
func HostsOf(m map[string]string, checkHost func(string) error) (*Hosts, error) {
	t := &Hosts{exact: make(map[string]Route, len(m))}
	var ps Problems
	for key, hosts := range m {
		if err := t.add(Route{Key: key, Hosts: strings.Fields(hosts)}, checkHost); err != "" {
			ps.Add("map", 0, "%s", err)
		}
	}
	t.sort()
	return t, ps.Err()
}

func (t *Hosts) add(r Route, checkHost func(string) error) (problem string) {
	if len(r.Hosts) == 0 {
		return quote(r.Key) + ": no host behind the domain"
	}
	for _, h := range r.Hosts {
		if err := checkHost(h); err != nil {
			return err.Error()
		}
	}
	if strings.ContainsAny(r.Key, "*?!") || strings.HasPrefix(r.Key, "/") {
		return t.addPattern(r)
	}
	a, err := mailaddr.New("x", strings.TrimSuffix(r.Key, "."))
	if err != nil {
		return quote(r.Key) + ": " + err.Error()
	}
	domain, err := a.ASCIIDomain()
	if err != nil {
		return quote(r.Key) + ": " + err.Error()
	}
	if _, twice := t.exact[domain]; twice {
		return quote(r.Key) + " stands here twice"
	}
	t.exact[domain] = r
	return ""
}

func (t *Hosts) addPattern(r Route) (problem string) {
	list, err := pattern.CompileList([]string{r.Key}, pattern.Domains)
	if err != nil {
		return err.Error()
	}
	t.patterns = append(t.patterns, hostPattern{list, r})
	return ""
}

func (t *Hosts) sort() {
	slices.SortFunc(t.patterns, func(a, b hostPattern) int {
		return cmp.Or(cmp.Compare(len(b.route.Key), len(a.route.Key)), strings.Compare(a.route.Key, b.route.Key))
	})
}

// Find gives the route of a domain in A-labels.
func (t *Hosts) Find(domain string) (Route, bool) {
	if r, ok := t.exact[domain]; ok {
		return r, true
	}
	for i := range t.patterns {
		if t.patterns[i].list.Match(domain) {
			return t.patterns[i].route, true
		}
	}
	return Route{}, false
}
