package main

import (
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/envelope"
	"filbert/pkg/ledger"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/queueid"
	"filbert/pkg/smtp"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

const (
	senders = 1000
	domains = 10_000
	tries   = 9 // the next wait is about two hours: nothing becomes due while we look
	age     = 3 * 24 * time.Hour
	content = "Subject: a message that waits\r\n\r\nText.\r\n"
)

func main() {
	dir := flag.String("spool", "", "the spool of an instance that does not run")
	n := flag.Int("n", 1_000_000, "how many messages")
	due := flag.Int("due", 100, "how many of a million are due at once")
	workers := flag.Int("workers", 4, "how many are written at a time")
	flag.Parse()
	if err := fill(*dir, *n, *due, *workers); err != nil {
		fmt.Fprintln(os.Stderr, "fill:", err)
		os.Exit(1)
	}
}

// unflushed is a file system that promises nothing: a million flushes would take an hour.
type unflushed struct{ durable.FS }

// SyncDir flushes nothing.
func (unflushed) SyncDir(string) error { return nil }

// OpenFile opens a file that is never flushed.
func (u unflushed) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	f, err := u.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

type file struct{ durable.File }

// Datasync flushes nothing.
func (file) Datasync() error { return nil }

func fill(dir string, n, due, workers int) error {
	fsys, err := durable.Open(dir)
	if err != nil {
		return err
	}
	defer fsys.Close()
	if err := spool.Prepare(fsys); err != nil {
		return err
	}
	s := spool.New(unflushed{fsys})
	now := time.Now()
	ids := queueid.NewGenerator(0)
	messages := make(chan *spool.Message, workers)
	failed := make(chan error, workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for m := range messages {
				if err := s.File(spool.Deferred, m); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	dice := rand.New(rand.NewPCG(1, 2))
	err = nil
	for i := 0; i < n && err == nil; i++ {
		at := now.Add(-age + age/time.Duration(n)*time.Duration(i))
		m := message(ids.Next(at), i, at, tried(dice, at, now, dice.IntN(1_000_000) < due), dice)
		select {
		case messages <- m:
		case err = <-failed:
		}
	}
	close(messages)
	wg.Wait()
	return err
}

// tried is when a message was tried last.
func tried(dice *rand.Rand, at, now time.Time, due bool) time.Time {
	last := now.Add(-time.Duration(dice.Int64N(int64(10 * time.Minute))))
	if due {
		last = last.Add(-24 * time.Hour)
	}
	if last.Before(at) {
		return at.Add(time.Second)
	}
	return last
}

// message is the i-th one.
func message(id queueid.ID, i int, at, last time.Time, dice *rand.Rand) *spool.Message {
	domain := 0
	if dice.IntN(10) != 0 {
		// Squared, so that the first domains get more than the last.
		f := dice.Float64()
		domain = int(f * f * domains)
	}
	env := &envelope.Envelope{
		ID: id, Source: envelope.FromSMTP, Arrived: at, Size: int64(len(content)),
		Sender:     mailaddr.MustParse(fmt.Sprintf("s%d@from.test", dice.IntN(senders))),
		Recipients: []envelope.Recipient{{Address: mailaddr.MustParse(fmt.Sprintf("q%d@d%d.test", i, domain))}},
	}
	o := outcome.Outcome{
		Class: outcome.Deferred, Kind: outcome.TimedOut, Status: smtp.Status{Class: 4, Subject: 4, Detail: 1},
		Transport: "smtp", Remote: fmt.Sprintf("mx.d%d.test", domain), RemoteIP: "192.0.2.1",
		Text: untrusted.From("connect to mx: no answer"),
	}
	m := &spool.Message{ID: id, Envelope: env.Marshal(), Content: []byte(content)}
	for k := range tries {
		when := at.Add(last.Sub(at) * time.Duration(k+1) / tries)
		m.Log = append(m.Log, spool.LineOf(when, 0, ledger.KeyText(&env.Recipients[0]), o))
	}
	return m
}
