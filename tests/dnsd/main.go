// Dnsd is a name server for end-to-end scripts: it serves a zone, with lies
// where the script wants them (see filbert/pkg/resolve/resolvetest), prints its
// address on one line, and ends on a signal.
// SIGHUP reads the zone again.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"filbert/pkg/resolve/resolvetest"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "`address` to serve on, UDP and TCP")
	zone := flag.String("zone", "", "zone `file`")
	flag.Parse()
	if err := run(*listen, *zone); err != nil {
		fmt.Fprintln(os.Stderr, "dnsd:", err)
		os.Exit(1)
	}
}

func run(listen, zone string) error {
	text, err := os.ReadFile(zone)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	s, err := resolvetest.Start(listen, string(text))
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Println(s.Addr())
	for sig := range signals {
		if sig != syscall.SIGHUP {
			return nil
		}
		if text, err = os.ReadFile(zone); err != nil {
			return err
		}
		if err := s.SetZone(string(text)); err != nil {
			return err
		}
	}
	return nil
}
