package settings

// ETRN says which clients may ask for which domains' mail (ETRN, RFC 1985): sites that
// are not always connected say so when they are, and what waits for them is tried at
// once. Nobody may where no rule says so.
type ETRN struct {
	// Clients are the networks that may ask (patterns).
	Clients []string `toml:"clients" json:"clients"`
	// Domains are those they may ask for (patterns). Who asks for a domain and all
	// below it ("@example.org") needs "*.example.org", or "*", beside it.
	Domains []string `toml:"domains" json:"domains"`
}
