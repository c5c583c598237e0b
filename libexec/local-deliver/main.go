// Command local-deliver puts messages into mailboxes and hands them to
// commands, each as the user that it is for. master starts it; with --child it is
// one of its own children; with --measure mtactl asks it, as a user, about that
// user's mailboxes. See pkg/localdeliver.
package main

import (
	"fmt"
	"os"

	"filbert/pkg/localdeliver"
	"filbert/pkg/proto"
	"filbert/pkg/service"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == localdeliver.ChildFlag {
		if err := localdeliver.RunChild(os.Args[2:]); err != nil {
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 1 && os.Args[1] == proto.MeasureFlag {
		if err := localdeliver.Measure(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "local-deliver:", err)
			os.Exit(1)
		}
		return
	}
	service.Main("local-deliver", localdeliver.New())
}
