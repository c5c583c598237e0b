package master

import (
	"fmt"
	"os"
	"path/filepath"

	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/service"
	"filbert/pkg/settings"
)

// identities are the users and groups of a separated instance, looked up once:
// a directory service that is away must not keep a daemon from restarting.
type identities struct {
	separate bool
	users    map[proto.Service]privsep.Identity // absent: as master
	main     privsep.Identity
	drop     int // group of pickup
	admin    uint32
}

func lookupIdentities(s *settings.Settings, defs []definition) (*identities, error) {
	ids := &identities{separate: s.Instance.Separate, admin: service.NoGroup}
	if !ids.separate {
		return ids, nil
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("privilege_separation is on, but master was not started by root")
	}
	ids.users = map[proto.Service]privsep.Identity{}
	for _, d := range defs {
		if d.user == nil {
			continue
		}
		id, err := privsep.LookupIdentity(d.user(&s.Users), "")
		if err != nil {
			return nil, fmt.Errorf("user of %s: %w", d.name, err)
		}
		ids.users[d.name] = id
	}
	var err error
	if ids.main, err = privsep.LookupIdentity(s.Users.Main, ""); err != nil {
		return nil, err
	}
	drop, err := privsep.LookupIdentity(s.Users.Main, s.Users.DropGroup)
	if err != nil {
		return nil, err
	}
	admin, err := privsep.LookupIdentity(s.Users.Main, s.Users.AdminGroup)
	if err != nil {
		return nil, err
	}
	ids.drop, ids.admin = drop.GID, uint32(admin.GID)
	return ids, nil
}

// ownerUID is who owns the instance: control sockets serve him beside root.
func (ids *identities) ownerUID() uint32 {
	if ids.separate {
		return uint32(ids.main.UID)
	}
	return uint32(os.Geteuid())
}

// administrators own the control sockets.
func (ids *identities) administrators() ownership {
	return ownership{separate: ids.separate, gid: int(ids.admin)}
}

// submitters own the socket of pickup.
func (ids *identities) submitters() ownership {
	return ownership{separate: ids.separate, gid: ids.drop}
}

// everyone is who reaches the sockets of run/mine: those who answer there ask the
// kernel who calls, and tell each user what is his.
func (ids *identities) everyone() ownership {
	return ownership{separate: ids.separate, open: true}
}

// makeRun makes the directories of run/, which may lie on a file system that a
// reboot empties.
func makeRun(run string, ids *identities) error {
	if err := os.MkdirAll(run, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", run, err)
	}
	if ids.separate { // others pass through to the directories that are theirs
		if err := os.Chmod(run, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", run, err)
		}
	}
	dirs := []struct {
		name            string
		own             ownership
		shared, private os.FileMode
	}{
		{"control", ids.administrators(), 0o750, 0o700},
		{"submit", ids.submitters(), 0o750, 0o700},
		{"mine", ids.everyone(), 0o755, 0o700},
		{"empty", ownership{}, 0, 0o555},
	}
	for _, d := range dirs {
		path := filepath.Join(run, d.name)
		if err := os.Mkdir(path, 0o700); err != nil && !os.IsExist(err) {
			return fmt.Errorf("make %s: %w", path, err)
		}
		if err := d.own.give(path, d.shared, d.private); err != nil {
			return fmt.Errorf("make %s: %w", path, err)
		}
	}
	return nil
}

// nameFile tells pickup, which reads no configuration, the name that bare
// addresses get.
const nameFile = "submit/name"

// writeName leaves the host's name for pickup. The file is replaced whole: a
// reader sees the old name or the new.
func writeName(s *settings.Settings, ids *identities) error {
	path := filepath.Join(s.Instance.Run, nameFile)
	text := s.Hostname + "\n"
	if had, err := os.ReadFile(path); err == nil && string(had) == text {
		// On a full disk the suite has to start, to make room.
		return ids.submitters().give(path, 0o640, 0o600)
	}
	fresh := path + ".new"
	err := os.WriteFile(fresh, []byte(text), 0o600)
	if err == nil {
		err = ids.submitters().give(fresh, 0o640, 0o600)
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return fmt.Errorf("write the name for pickup: %w", err)
	}
	return nil
}
