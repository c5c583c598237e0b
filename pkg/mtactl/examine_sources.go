package mtactl

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"syscall"
)

// sourceAddresses looks whether mail can be sent from them: only a hint, because an address
// may come to this machine later.
func (x *examiner) sourceAddresses() {
	for _, name := range slices.Sorted(maps.Keys(x.s.Transports)) {
		for _, address := range x.s.Transports[name].SourceAddresses {
			c, err := net.ListenPacket("udp", net.JoinHostPort(address, "0"))
			switch {
			case err == nil:
				c.Close()
			case errors.Is(err, syscall.EADDRNOTAVAIL):
				x.doubt(address, fmt.Sprintf("is no address of this machine, so mail that transport %q sends from it waits", name),
					"ip address shows those that there are; add it, or remove it from source_addresses")
			default:
				x.doubt(address, fmt.Sprintf("transport %q can't send from it: %v", name, err), "ip address shows what this machine has")
			}
		}
	}
}
