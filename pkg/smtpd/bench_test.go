package smtpd

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/settings"
)

// BenchmarkIdleConnection reports what a connection costs that has said EHLO
// and is silent: octets of Go memory and of resident memory of the process. The
// clients are bare descriptors and cost the process nothing but kernel memory.
//
//	go test -run '^$' -bench IdleConnection -benchtime 5000x ./pkg/smtpd
func BenchmarkIdleConnection(b *testing.B) {
	r := newRig(b, func(_ *settings.Settings, l *settings.Listen) { l.MaxConnections, l.MaxPerClient = 1<<20, 1<<20 })
	heap, rss := footprint()
	fds := make([]int, 0, b.N)
	for i := range b.N {
		fds = append(fds, rawClient(b, r.addr, i))
	}
	b.StopTimer()
	waits := 0
	for waits < b.N {
		waits = 0
		r.door.ledger.each(func(d *dialogue) {
			if _, w := d.leash.owed(r.server.now()); w == waitFresh {
				waits++
			}
		})
		time.Sleep(time.Millisecond)
	}
	heapAfter, rssAfter := footprint()
	b.ReportMetric(float64(heapAfter-heap)/float64(b.N), "Go-B/conn")
	b.ReportMetric(float64(rssAfter-rss)/float64(b.N), "RSS-B/conn")
	for _, fd := range fds {
		_ = syscall.Close(fd)
	}
}

// footprint is the memory in use by Go (heap, stacks and tables), and resident.
func footprint() (heap, rss int64) {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var pages, resident int64
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		_, _ = fmt.Sscan(string(b), &pages, &resident)
	}
	return int64(m.HeapInuse + m.StackInuse + m.MSpanInuse + m.MCacheInuse), resident * int64(os.Getpagesize())
}

// rawClient connects from an address of its own, says EHLO and reads replies.
func rawClient(b *testing.B, addr string, i int) int {
	b.Helper()
	to := netip.MustParseAddrPort(addr)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	from := &syscall.SockaddrInet4{Addr: [4]byte{127, 0, byte(i / 250 % 250), byte(i%250 + 1)}}
	if err := syscall.Bind(fd, from); err != nil {
		b.Fatal(err)
	}
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil {
		b.Fatal(err)
	}
	var buf [1024]byte
	if _, err := syscall.Read(fd, buf[:]); err != nil {
		b.Fatal(err)
	}
	if _, err := syscall.Write(fd, []byte("EHLO client.example\r\n")); err != nil {
		b.Fatal(err)
	}
	if _, err := syscall.Read(fd, buf[:]); err != nil {
		b.Fatal(err)
	}
	return fd
}

// BenchmarkMessage is one message of 5 KiB in a session that stays, with a
// cleanup that costs nothing.
func BenchmarkMessage(b *testing.B) {
	r := newRig(b, nil)
	c := r.hello()
	_ = c.conn.SetDeadline(time.Time{})
	body := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 71) + ".\r\n"
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		c.send("MAIL FROM:<sender@client.example> SIZE=5000\r\nRCPT TO:<user@example.edu>\r\nDATA\r\n")
		c.expect(250)
		c.expect(250)
		c.expect(354)
		c.send(body)
		c.expect(250)
	}
}

// BenchmarkContent is the rate at which the content of a large message passes.
func BenchmarkContent(b *testing.B) {
	r := newRig(b, nil)
	c := r.hello()
	_ = c.conn.SetDeadline(time.Time{})
	body := text(20<<20) + ".\r\n"
	b.SetBytes(int64(len(body)))
	w := bufio.NewWriterSize(c.conn, 64<<10)
	for b.Loop() {
		c.envelope()
		c.cmd(354, "DATA")
		_, _ = io.WriteString(w, body)
		_ = w.Flush()
		c.expect(250)
		r.cleanup.mu.Lock()
		r.cleanup.taken = nil
		r.cleanup.mu.Unlock()
	}
}
