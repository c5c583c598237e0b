package lookup

import (
	"slices"

	"filbert/pkg/settings"
)

// Needs says what a lookup must be able to reach when its process is confined:
// TCP ports, Unix sockets, and files. It looks at the settings alone, so that
// what it names need not be there.
func Needs(set settings.Lookup) (ports []uint16, sockets, files []string) {
	if set.Path != "" {
		files = append(files, set.Path)
	}
	if set.CAFile != "" {
		files = append(files, set.CAFile)
	}
	servers, err := Servers(set)
	if err != nil {
		return nil, nil, files
	}
	for _, s := range servers {
		switch {
		case s.Network == "unix":
			sockets = append(sockets, s.Address)
		case !slices.Contains(ports, s.Port):
			ports = append(ports, s.Port)
		}
	}
	return ports, sockets, files
}
