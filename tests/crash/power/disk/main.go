// Command disk is a block device whose every write and flush is remembered in
// order, and that can be told to break.
//
// It serves a directory (FUSE) with two files. disk.img is the device: a loop
// device is attached to it. What is written to mark is noted in the same log as
// the device's writes, so that a test can say what the world knew at each point.
//
// SIGUSR1 makes all flushes from then on fail with EIO, SIGUSR2 all writes too,
// SIGHUP neither. SIGTERM and SIGINT end it, after the directory was unmounted.
//
// A module of its own keeps its dependency out of the suite's.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

func main() {
	mount := flag.String("mount", "", "the directory to serve")
	size := flag.Int64("size", 64<<20, "of the device, in bytes")
	record := flag.String("log", "", "the file for the log of writes")
	flag.Parse()
	if err := serve(*mount, *record, *size); err != nil {
		log.Fatal(err)
	}
}

func serve(mount, record string, size int64) error {
	out, err := os.Create(record)
	if err != nil {
		return fmt.Errorf("make the log: %w", err)
	}
	d := &device{data: make([]byte, size), log: out}
	server, err := fs.Mount(mount, &root{d: d}, &fs.Options{MountOptions: fuse.MountOptions{
		MaxWrite: 1 << 20, DirectMount: true, FsName: "crash-disk", Name: "crash-disk",
	}})
	if err != nil {
		return fmt.Errorf("mount %s: %w", mount, err)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		for s := range signals {
			switch s {
			case syscall.SIGUSR1:
				d.failFlush.Store(true)
			case syscall.SIGUSR2:
				d.failFlush.Store(true)
				d.failWrite.Store(true)
			case syscall.SIGHUP:
				d.failFlush.Store(false)
				d.failWrite.Store(false)
			default:
				if err := server.Unmount(); err != nil {
					log.Print(err) // somebody still has the device open
				}
			}
		}
	}()
	fmt.Println("ready")
	server.Wait()
	return out.Close()
}

// root is the directory.
type root struct {
	fs.Inode
	d *device
}

var _ = (fs.NodeOnAdder)((*root)(nil))

func (r *root) OnAdd(ctx context.Context) {
	stable := fs.StableAttr{Mode: syscall.S_IFREG}
	r.AddChild("disk.img", r.NewPersistentInode(ctx, &image{d: r.d}, stable), true)
	r.AddChild("mark", r.NewPersistentInode(ctx, &mark{d: r.d}, stable), true)
}

// image is the file that is the device.
type image struct {
	fs.Inode
	d *device
}

var (
	_ = (fs.NodeGetattrer)((*image)(nil))
	_ = (fs.NodeSetattrer)((*image)(nil))
	_ = (fs.NodeOpener)((*image)(nil))
	_ = (fs.NodeReader)((*image)(nil))
	_ = (fs.NodeWriter)((*image)(nil))
	_ = (fs.NodeFsyncer)((*image)(nil))
)

func (n *image) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode = 0o600 | syscall.S_IFREG
	out.Size = uint64(len(n.d.data))
	return 0
}

func (n *image) Setattr(ctx context.Context, f fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return n.Getattr(ctx, f, out)
}

// Open has the kernel keep no pages of the device: what the loop device writes
// comes here at once, in its order.
func (n *image) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (n *image) Read(_ context.Context, _ fs.FileHandle, b []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return fuse.ReadResultData(b[:n.d.read(b, off)]), 0
}

func (n *image) Write(_ context.Context, _ fs.FileHandle, b []byte, off int64) (uint32, syscall.Errno) {
	return n.d.write(b, off)
}

func (n *image) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno { return n.d.flush() }

// mark is the file for what the world knew.
type mark struct {
	fs.Inode
	d *device
}

var (
	_ = (fs.NodeGetattrer)((*mark)(nil))
	_ = (fs.NodeSetattrer)((*mark)(nil))
	_ = (fs.NodeOpener)((*mark)(nil))
	_ = (fs.NodeWriter)((*mark)(nil))
)

func (n *mark) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode = 0o600 | syscall.S_IFREG
	return 0
}

func (n *mark) Setattr(ctx context.Context, f fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return n.Getattr(ctx, f, out)
}

func (n *mark) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (n *mark) Write(_ context.Context, _ fs.FileHandle, b []byte, _ int64) (uint32, syscall.Errno) {
	return n.d.mark(b)
}

type flags struct{ failFlush, failWrite atomic.Bool }
