package smtpd

import "filbert/pkg/tally"

// figures are what smtpd counts (pkg/proto, stats.go). The zero value counts nothing.
type figures struct {
	clients, messages *tally.Figure
}

// count counts a connection that has ended. One that brought nothing shows nothing.
func (f *figures) count(messages int) {
	if messages > 0 {
		f.clients.Add(1)
		f.messages.Add(messages)
	}
}
