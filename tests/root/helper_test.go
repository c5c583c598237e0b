package root

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"filbert/pkg/proto"
)

// help is what the test program does as another user. Words of args are paths
// and numbers; the answer is on standard output.
func help(name string, args []string) int {
	helpers := map[string]func([]string) error{
		"describe": helpDescribe, "direct": helpDirect, "answer": helpAnswer, "dial": helpDial, "swap": helpSwap, "murder": helpMurder, "crowd": helpCrowd, "flood": helpFlood,
		"hold": helpHold, "besiege": helpBesiege,
	}
	f, ok := helpers[name]
	if !ok {
		fmt.Println("no such helper")
		return 64
	}
	if err := f(args); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// helpDescribe FILE writes down who this process is and what it holds. It is the
// command of an alias.
func helpDescribe(args []string) error {
	var fds []string
	for fd := range 64 {
		to, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		// The runtime's own are no inheritance.
		if err == nil && !strings.HasPrefix(to, "anon_inode") && !strings.HasPrefix(to, "/sys/fs/cgroup/") {
			fds = append(fds, fmt.Sprintf("%d=%s", fd, to))
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	limits, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	text := fmt.Sprintf("fds: %s\nenv: %s\n%s%s", strings.Join(fds, " "), strings.Join(os.Environ(), " "), status, limits)
	tmp := args[0] + ".tmp"
	return errors.Join(os.WriteFile(tmp, []byte(text), 0o600), os.Rename(tmp, args[0]))
}

// helpDirect FILE ADDRESS is the program of a director that sends all mail to an
// address, and writes down who it is.
func helpDirect(args []string) error {
	fmt.Println("redirect " + args[1])
	return helpDescribe(args[:1])
}

// helpAnswer SENDMAIL answers the message on standard input, as a vacation
// program does.
func helpAnswer(args []string) error {
	cmd := exec.Command(args[0], "-i", "-f", "", "--", os.Getenv("SENDER"))
	letter, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	subject := ""
	for line := range strings.Lines(string(letter)) {
		if s, ok := strings.CutPrefix(line, "Subject: "); ok {
			subject = strings.TrimSpace(s)
		}
	}
	cmd.Stdin = strings.NewReader("Subject: answer to " + subject + "\n\nI am on holiday.\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// helpDial SOCKET... tries to connect to each and prints who let it in.
func helpDial(args []string) error {
	for _, path := range args {
		c, err := net.Dial("unix", path)
		if err != nil {
			continue
		}
		c.Close()
		fmt.Println(path)
	}
	return nil
}

// helpSwap FOR PLACE TARGET... puts links to the targets, fifos, directories and
// plain files at PLACE, by turns and as fast as it can, for the duration FOR.
func helpSwap(args []string) error {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	place, targets := args[1], args[2:]
	dir, tmp := filepath.Dir(place), place+".t"
	var made []func() error
	for _, target := range targets {
		made = append(made,
			func() error { return os.Symlink(target, tmp) },
			func() error { return os.Link(target, tmp) },
		)
	}
	made = append(made,
		func() error { return os.WriteFile(tmp, nil, 0o600) },
		func() error { return os.Mkdir(tmp, 0o700) },
		func() error { return makeFIFO(tmp) },
		func() error { return os.Symlink(dir, tmp) },
	)
	worked := make([]int, len(made))
	for until := time.Now().Add(d); time.Now().Before(until); {
		for i, f := range made {
			if f() == nil {
				worked[i]++
			}
			// Rename does not replace a directory by a file, nor the reverse.
			if os.Rename(tmp, place) != nil {
				_ = os.RemoveAll(place)
				_ = os.Rename(tmp, place)
			}
			_ = os.RemoveAll(tmp)
		}
	}
	fmt.Println("worked:", worked)
	return nil
}

// helpMurder FOR kills, over and over, every process that this user may signal but
// this one.
func helpMurder(args []string) error {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	killed := 0
	for until := time.Now().Add(d); time.Now().Before(until); {
		if killOthers() == nil {
			killed++
		}
	}
	fmt.Println("killed:", killed)
	return nil
}

// helpFlood SOCKET N sends N malformed openings, each on a connection of its
// own, and prints how many of them the other side closed.
func helpFlood(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	closed := 0
	for i := range n {
		c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: args[0], Net: "unix"})
		if err != nil {
			return err
		}
		_, _ = c.Write(malformed[i%len(malformed)])
		if closes(c) == nil {
			closed++
		}
		c.Close()
	}
	fmt.Println("closed:", closed)
	return nil
}

// helpCrowd SOCKET N OCTETS opens N connections, sends on each the better part of a
// frame of OCTETS, and holds them until its standard input ends. It prints how many
// were not closed at once.
func helpCrowd(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	octets, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	whole := append(clone(greeting), frame(callRole, 1, proto.KindSubmission, 0, make([]byte, octets))...)
	held := 0
	for range n {
		c, err := net.Dial("unix", args[0])
		if err != nil {
			continue
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Second))
		if _, err := c.Write(whole[:len(whole)-1]); err == nil {
			held++
		}
	}
	fmt.Println(held)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
