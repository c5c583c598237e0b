// Command mtactl makes, starts, checks and asks an instance of the suite; see
// pkg/mtactl.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"filbert/pkg/mtactl"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := mtactl.Main(ctx, os.Args[1:], mtactl.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}
