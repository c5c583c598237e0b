package settings

// For is the configuration as one program of the suite may see it: what lookups
// are and their passwords is router's alone, the passwords of transports are
// smtp-client's, and the site's texts of reports are bounce's.
func (s *Settings) For(service string) *Settings {
	out := *s
	if service != "bounce" {
		out.Reports.Texts = nil
	}
	if service != "router" {
		out.Lookups = make(map[string]Lookup, len(s.Lookups))
		for name, l := range s.Lookups {
			// Which lookups there are, every program may know; where, none needs to.
			out.Lookups[name] = Lookup{Type: l.Type}
		}
	}
	if service != "smtp-client" {
		out.Transports = make(map[string]Transport, len(s.Transports))
		for name, t := range s.Transports {
			t.Password = ""
			out.Transports[name] = t
		}
	}
	return &out
}
