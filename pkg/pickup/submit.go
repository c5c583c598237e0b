package pickup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

// The waits on cleanup. They are ours: both ends are on one machine, cleanup
// commits within milliseconds, and a busy disk may take seconds.
const (
	connectTimeout = 5 * time.Second
	answerTimeout  = 2 * time.Minute
	chunkTimeout   = 2 * time.Minute // each chunk of a large message
	largeTimeout   = time.Hour       // all of a large message
)

// submit hands a message to cleanup and gives its answer. An error means that
// there was none: the suite is down, or it went away before it said so, and the
// message may have been accepted or not.
func (p *pickup) submit(m *proto.Submission, c *io.SectionReader) (*proto.Acceptance, error) {
	conn, err := dialCleanup(filepath.Join(p.site.inst.Run, "submit", string(proto.Cleanup)))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer := new(proto.Acceptance)
	if c.Size() <= proto.InlineMax {
		inline := make([]byte, c.Size())
		if n, err := c.ReadAt(inline, 0); n < len(inline) {
			return nil, fmt.Errorf("read the message back: %w", err)
		}
		m.Content = proto.Content{Inline: inline}
		ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
		defer cancel()
		err = conn.Call(ctx, m, answer)
	} else {
		err = callLarge(conn, m, c, answer)
	}
	if err != nil {
		return nil, fmt.Errorf("hand the message in: %w", err)
	}
	return answer, nil
}

func dialCleanup(path string) (*ipc.Conn, error) {
	d := net.Dialer{Timeout: connectTimeout}
	nc, err := d.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	// Capacity is for those who could still refuse their client.
	conn, err := ipc.NewConn(nc.(*net.UnixConn), ipc.Options{OnNotice: func(uint16, []byte) {}})
	if err != nil {
		nc.Close()
		return nil, err
	}
	// It ends with conn.Close, and reports a protocol error to the call.
	go func() { _ = conn.Serve(context.Background()) }()
	return conn, nil
}

// callLarge sends the content through a pipe beside the frame (proto.Submission).
func callLarge(conn *ipc.Conn, m *proto.Submission, c *io.SectionReader, answer *proto.Acceptance) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	m.Content = proto.Content{Size: c.Size()}
	ctx, cancel := context.WithTimeout(context.Background(), largeTimeout)
	defer cancel()
	written := make(chan error, 1)
	go func() {
		err := writeChunks(w, io.NewSectionReader(c, 0, c.Size()))
		if err = errors.Join(err, w.Close()); err != nil {
			cancel() // without its end mark cleanup forgets the message
		}
		written <- err
	}()
	err = conn.Call(ctx, m, answer, r)
	if err != nil {
		// Nobody reads any more: let the writer fail.
		conn.Close()
		r.Close()
	}
	if werr := <-written; err != nil {
		return errors.Join(err, werr)
	}
	// An answer that came though the content did not all get through is a
	// refusal: cleanup accepts nothing without the end mark.
	return nil
}

// writeChunks writes all of r, and the mark that says so.
func writeChunks(w *os.File, r io.Reader) error {
	buf := make([]byte, 4+proto.ChunkMax)
	for {
		n, err := io.ReadFull(r, buf[4:])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("read the message back: %w", err)
		}
		binary.BigEndian.PutUint32(buf, uint32(n))
		if err := w.SetWriteDeadline(time.Now().Add(chunkTimeout)); err != nil {
			return err
		}
		if _, werr := w.Write(buf[:4+n]); werr != nil {
			return fmt.Errorf("send the message: %w", werr)
		}
		if n == 0 {
			return nil
		}
	}
}
