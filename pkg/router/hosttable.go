package router

import (
	"fmt"
	"strconv"
	"strings"

	"filbert/pkg/lookup"
	"filbert/pkg/mailaddr"
	"filbert/pkg/route"
)

// tableRouter is the driver `table`.
type tableRouter struct {
	*remote
	inline *lookup.Hosts
	file   *lookup.File[*lookup.Hosts]
}

// checkHost checks a host of a table.
func checkHost(s string) error {
	_, err := route.ParseSpec(s)
	return err
}

func newTable(r *rules, rt *remote) (*tableRouter, error) {
	t := &tableRouter{remote: rt}
	var err error
	if t.inline, err = lookup.HostsOf(rt.set.Map, checkHost); err != nil {
		return nil, err
	}
	if rt.set.File == "" {
		return t, nil
	}
	path := rt.set.File
	t.file, err = lookup.NewFile(lookup.Source[*lookup.Hosts]{
		Path: path, MaxSize: lookup.MaxHosts,
		Parse:    func(name string, data []byte) (*lookup.Hosts, error) { return lookup.ParseHosts(name, data, checkHost) },
		Complain: func(err error) { r.mistake("reading "+path, err) },
	})
	r.warn(path, err, false)
	return t, nil
}

func (r *tableRouter) route(q *query, domain string, _ mailaddr.Address) answered {
	found, where, ok, err := r.find(q, domain)
	if err != nil {
		return r.unreadable(err)
	}
	if !ok {
		return answered{why: "not in the table"}
	}
	q.trace.note("%s (%s): %s", found.Key, where, strings.Join(found.Hosts, " "))
	specs, err := parseSpecs(found.Hosts)
	if err == nil && len(specs) == 0 {
		err = fmt.Errorf("no host for %s", found.Key)
	}
	if err != nil {
		return r.unreadable(err)
	}
	return r.named(q, specs)
}

// find looks in the map, then the file, then the lookup.
func (r *tableRouter) find(q *query, domain string) (found lookup.Route, where string, ok bool, err error) {
	if found, ok = r.inline.Find(domain); ok {
		return found, "map", true, nil
	}
	if r.file != nil {
		table, err := r.file.Get(q.rules.world.Now())
		if err != nil {
			return found, "", false, err
		}
		if found, ok = table.Find(domain); ok {
			return found, r.set.File + ":" + strconv.Itoa(found.Line), true, nil
		}
	}
	if r.set.Lookup == "" {
		return found, "", false, nil
	}
	for _, key := range domainKeys(domain) {
		a, err := q.find(q.ctx, r.set.Lookup, key)
		if err != nil || a.Found {
			return lookup.Route{Key: key, Hosts: strings.Fields(strings.Join(a.Values, " "))}, "lookup " + r.set.Lookup, a.Found, err
		}
	}
	return found, "", false, nil
}

// maxLabels bounds the questions about one domain.
const maxLabels = 10

// domainKeys are the keys by which a lookup is asked for a domain: its name,
// "*." and each domain that it is in, "*".
func domainKeys(domain string) []string {
	keys := []string{domain}
	for rest := domain; len(keys) <= maxLabels; {
		_, after, found := strings.Cut(rest, ".")
		if !found {
			break
		}
		keys, rest = append(keys, "*."+after), after
	}
	return append(keys, "*")
}
