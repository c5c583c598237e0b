package mtactl

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// measureTimeout bounds the look at one user's mailboxes: his home may be on a
// file server that does not answer.
const measureTimeout = 30 * time.Second

// endTimeout is how long a program may take to end behind its last word.
const endTimeout = 5 * time.Second

// measure has local-deliver look at mailboxes, as the user actor ("", and where we are
// not root: as ourselves).
//
// Root does not look himself: a user could lead him, by links in his home, to
// what is not his to have measured, or to a file server that holds him up for ever.
// The rejected alternative, openat2 without links, would also refuse the Maildir that
// somebody keeps on another disk, and sees nothing on a file server that trusts no root.
func measure(ctx context.Context, inst settings.Instance, actor string, list []mailboxOf) ([]proto.Measured, error) {
	cmd := &exec.Cmd{
		Path: filepath.Join(inst.Libexec, "local-deliver"), Args: []string{"local-deliver", proto.MeasureFlag},
		// A session of its own has no terminal into which the user could type for root.
		Dir: "/", Env: []string{"PATH=/usr/bin:/bin"}, SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if actor != "" && os.Geteuid() == 0 {
		u, err := privsep.LookupUser(actor)
		if err != nil {
			return nil, err
		}
		if u.UID == 0 {
			return nil, errors.New("refusing to look at mailboxes as root")
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)}
		for _, g := range u.Groups {
			cmd.SysProcAttr.Credential.Groups = append(cmd.SysProcAttr.Credential.Groups, uint32(g))
		}
	}
	q := proto.MeasureQuery{}
	for _, m := range list {
		q.Mailboxes = append(q.Mailboxes, m.where)
	}
	question, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	answer, err := exchange(ctx, cmd, question)
	if err != nil {
		return nil, err
	}
	return readMeasured(answer, list)
}

// exchange runs a program with a question and gives its answer, within
// measureTimeout.
func exchange(ctx context.Context, cmd *exec.Cmd, question []byte) ([]byte, error) {
	in, toChild, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer toChild.Close()
	fromChild, out, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, err
	}
	defer fromChild.Close()
	cmd.Stdin, cmd.Stdout = in, out
	err = cmd.Start()
	in.Close()
	out.Close()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	deadline := time.Now().Add(measureTimeout)
	stop := context.AfterFunc(ctx, func() { _ = fromChild.SetReadDeadline(time.Now()) })
	defer stop()
	_ = errors.Join(toChild.SetWriteDeadline(deadline), fromChild.SetReadDeadline(deadline))
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		_, _ = toChild.Write(question)
		toChild.Close()
	}()
	answer, err := io.ReadAll(io.LimitReader(fromChild, proto.MaxMeasured+1))
	toChild.Close()
	<-wrote
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err == nil {
		// It has closed its output, so it ends, and says whether that was all.
		select {
		case err = <-ended:
		case <-time.After(endTimeout):
			err = os.ErrDeadlineExceeded
		}
	}
	if err != nil {
		// One that hangs in a file server cannot even be killed. It is init's when we
		// end, and nobody waits for it until then.
		_ = cmd.Process.Kill()
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("no answer within %s; is a file server away?", measureTimeout)
	case err != nil:
		return nil, err
	case len(answer) > proto.MaxMeasured:
		return nil, fmt.Errorf("an answer of more than %d octets", proto.MaxMeasured)
	}
	return answer, nil
}

// readMeasured reads the answers to the questions about a list. They are a user's
// word, and must be about what was asked.
func readMeasured(answer []byte, list []mailboxOf) ([]proto.Measured, error) {
	var out []proto.Measured
	in := bufio.NewScanner(bytes.NewReader(answer))
	in.Buffer(nil, proto.MaxMeasured+1)
	for in.Scan() {
		var m proto.Measured
		if err := json.Unmarshal(in.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("an answer that makes no sense: %w", err)
		}
		if m.Query < 0 || m.Query >= len(list) || m.Bytes < 0 || m.Messages < -1 {
			return nil, errors.New("an answer that makes no sense")
		}
		if ok, err := filepath.Match(list[m.Query].where.Pattern, m.Path); err != nil || !ok {
			return nil, errors.New("an answer about a mailbox that was not asked about")
		}
		out = append(out, m)
	}
	return out, in.Err()
}
