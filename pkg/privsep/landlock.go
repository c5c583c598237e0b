package privsep

import (
	"fmt"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

const (
	fileRead  = ll.AccessFSReadFile
	fileWrite = fileRead | ll.AccessFSWriteFile | ll.AccessFSTruncate
	dirRead   = fileRead | ll.AccessFSReadDir
	// No device, socket or symbolic link is ever made below a queue or a
	// mailbox, so those rights are not given. Refer allows rename between two
	// directories that are both writable.
	dirWrite = fileWrite | dirRead | ll.AccessFSRemoveDir | ll.AccessFSRemoveFile |
		ll.AccessFSMakeDir | ll.AccessFSMakeReg | ll.AccessFSRefer
	fileExec = fileRead | ll.AccessFSExecute
	dirExec  = dirRead | ll.AccessFSExecute
)

// landlockABI is the kernel's Landlock version, 0 for none.
func landlockABI() int {
	v, err := ll.LandlockGetABIVersion()
	if err != nil || v < 0 {
		return 0
	}
	return v
}

// restrictPaths applies the file, port and scope rules of s to all threads.
func restrictPaths(s Spec) error {
	rules, err := pathRules(s)
	if err != nil {
		return err
	}
	config := landlockConfig(s)
	if config == (landlock.Config{}) {
		return nil
	}
	rules = append(rules, portRules(s)...)
	if err := config.BestEffort().Restrict(rules...); err != nil {
		return fmt.Errorf("restrict files and ports: %w", err)
	}
	return nil
}

// landlockConfig says which rights are denied unless a rule gives them.
func landlockConfig(s Spec) landlock.Config {
	config := landlock.V11
	if s.Files == FilesAny {
		config.HandledAccessFS = 0
		if !listsRoot(s.Exec) {
			config.HandledAccessFS = ll.AccessFSExecute
		}
	}
	for _, p := range []struct {
		ports Ports
		right landlock.AccessNetSet
	}{
		{s.ConnectTCP, ll.AccessNetConnectTCP},
		{s.BindTCP, ll.AccessNetBindTCP},
		{s.ConnectUDP, ll.AccessNetConnectSendUDP},
		{s.BindUDP, ll.AccessNetBindUDP},
	} {
		if p.ports.any() {
			config.HandledAccessNet &^= p.right
		}
	}
	if s.Scope == ScopeAny {
		config.Scoped = 0
	}
	return config
}

func listsRoot(paths []string) bool {
	for _, p := range paths {
		if p == "/" {
			return true
		}
	}
	return false
}

func pathRules(s Spec) ([]landlock.Rule, error) {
	lists := []struct {
		paths     []string
		file, dir landlock.AccessFSSet
	}{
		{s.Read, fileRead, dirRead},
		{s.Write, fileWrite, dirWrite},
		{s.Exec, fileExec, dirExec},
		{s.Sockets, ll.AccessFSResolveUnix, ll.AccessFSResolveUnix},
	}
	if s.Files == FilesAny {
		if listsRoot(s.Exec) {
			return nil, nil
		}
		lists = lists[2:3]
		lists[0].file, lists[0].dir = ll.AccessFSExecute, ll.AccessFSExecute
	}
	var rules []landlock.Rule
	for _, l := range lists {
		for _, path := range l.paths {
			info, err := os.Stat(path)
			if err != nil {
				return nil, fmt.Errorf("confine to %s: %w", path, err)
			}
			access := l.file
			if info.IsDir() {
				access = l.dir
			}
			rules = append(rules, landlock.PathAccess(access, path))
		}
	}
	return rules, nil
}

func portRules(s Spec) []landlock.Rule {
	var rules []landlock.Rule
	add := func(ports Ports, rule func(uint16) landlock.NetRule) {
		if ports.any() {
			return
		}
		for _, p := range ports {
			rules = append(rules, rule(p))
		}
	}
	add(s.ConnectTCP, landlock.ConnectTCP)
	add(s.BindTCP, landlock.BindTCP)
	add(s.ConnectUDP, landlock.ConnectSendUDP)
	add(s.BindUDP, landlock.BindUDP)
	return rules
}
