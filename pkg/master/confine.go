package master

import (
	"fmt"

	"filbert/pkg/privsep"
)

// Confine takes away what the master of a separated instance has no use for:
// all capabilities but those below, and set-id programs for everything that it
// starts. It stays root. What remains is enough to become root's equal again
// (CAP_SETUID), so this protects from mistakes and not from somebody who has taken
// master over; the line of defence is that master reads nothing of strangers.
func Confine() (string, error) {
	spec := privsep.Spec{
		Files:      privsep.FilesAny,
		Exec:       []string{"/"},
		Scope:      privsep.ScopeAny,
		ConnectTCP: privsep.AnyPort(), BindTCP: privsep.AnyPort(),
		ConnectUDP: privsep.AnyPort(), BindUDP: privsep.AnyPort(),
		Keep: []privsep.Capability{
			// For its own files and those of others in the instance.
			privsep.CapChown, privsep.CapFowner, privsep.CapDACOverride, privsep.CapDACReadSearch,
			// A reload may bind a port.
			privsep.CapNetBindService,
			// Its daemons are other users, and it ends those that hang.
			privsep.CapKill,
			// What its daemons need on their way down.
			privsep.CapSetUID, privsep.CapSetGID, privsep.CapSetPCap, privsep.CapSysChroot,
		},
	}
	report, err := privsep.Confine(spec)
	if err == nil {
		err = privsep.Assert(spec)
	}
	if err != nil {
		return "", fmt.Errorf("give up capabilities: %w", err)
	}
	return report.String(), nil
}
