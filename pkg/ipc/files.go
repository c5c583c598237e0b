package ipc

import (
	"fmt"
	"net"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PeerCred is what the kernel says of the process at the other end of a
// connection (SO_PEERCRED): for a socket pair, of the one that made the pair.
type PeerCred struct {
	PID int32
	UID uint32
	GID uint32
	// Groups are the supplementary groups at the time of the connection.
	Groups []uint32
}

// In tells whether the peer is a member of group gid.
func (p PeerCred) In(gid uint32) bool { return p.GID == gid || slices.Contains(p.Groups, gid) }

// Credentials asks the kernel who is at the other end of c.
func Credentials(c *net.UnixConn) (PeerCred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return PeerCred{}, fmt.Errorf("peer credentials: %w", err)
	}
	var cred *unix.Ucred
	var groups []uint32
	var gerr error
	err = raw.Control(func(fd uintptr) {
		cred, gerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		groups = peerGroups(int(fd))
	})
	if err == nil {
		err = gerr
	}
	if err != nil {
		return PeerCred{}, fmt.Errorf("peer credentials: %w", err)
	}
	return PeerCred{PID: cred.Pid, UID: cred.Uid, GID: cred.Gid, Groups: groups}, nil
}

// maxGroups is the kernel's NGROUPS_MAX times the little of it that people use;
// who has more groups is taken to have none.
const maxGroups = 256

// peerGroups asks for the supplementary groups (SO_PEERGROUPS). No answer means
// none: a group only ever grants something.
func peerGroups(fd int) []uint32 {
	var buf [maxGroups]uint32
	size := uint32(unsafe.Sizeof(buf))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
		uintptr(unsafe.Pointer(&buf)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return nil
	}
	return slices.Clone(buf[:size/4])
}

// Pair makes two connected Unix stream sockets, close-on-exec, as files to be
// handed to other processes.
func Pair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "pair"), os.NewFile(uintptr(fds[1]), "pair"), nil
}

// ConnPair is Pair for two ends in one process (tests, and each service's own
// calls to itself).
func ConnPair() (a, b *net.UnixConn, err error) {
	fa, fb, err := Pair()
	if err != nil {
		return nil, nil, err
	}
	if a, err = FileConn(fa); err != nil {
		fb.Close()
		return nil, nil, err
	}
	if b, err = FileConn(fb); err != nil {
		a.Close()
		return nil, nil, err
	}
	return a, b, nil
}

// FileConn turns a received descriptor into a connection. It closes f, also
// when f is no Unix stream socket.
func FileConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("use a descriptor as a connection: %w", err)
	}
	uc, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("use a descriptor as a connection: it is of type %T", c)
	}
	return uc, nil
}

// duplicate copies descriptors so that the caller may close his at once.
func duplicate(files []*os.File) ([]int, error) {
	if len(files) == 0 {
		return nil, nil
	}
	if len(files) > MaxFiles {
		return nil, fmt.Errorf("send %d descriptors: at most %d may ride with a frame", len(files), MaxFiles)
	}
	fds := make([]int, 0, len(files))
	for _, f := range files {
		fd, err := duplicateOne(f)
		if err != nil {
			closeAll(fds)
			return nil, fmt.Errorf("send a descriptor: %w", err)
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// duplicateOne uses Control, not Fd: Fd would make the file blocking.
func duplicateOne(f *os.File) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd, derr := -1, error(nil)
	err = raw.Control(func(old uintptr) {
		fd, derr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil {
		err = derr
	}
	return fd, err
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// parseRights takes the descriptors out of a control message.
func parseRights(oob []byte) ([]int, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, violation("control message: %v", err)
	}
	var fds []int
	for i := range msgs {
		got, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			closeAll(fds)
			return nil, violation("control message: %v", err)
		}
		fds = append(fds, got...)
	}
	return fds, nil
}
