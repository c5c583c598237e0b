// Command local-deliver puts messages into mailboxes and hands them to
// commands, each as the user that it is for. master starts it; with --child it is
// one of its own children. See pkg/localdeliver.
package main

import (
	"os"

	"filbert/pkg/localdeliver"
	"filbert/pkg/service"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == localdeliver.ChildFlag {
		if err := localdeliver.RunChild(os.Args[2:]); err != nil {
			os.Exit(1)
		}
		return
	}
	service.Main("local-deliver", localdeliver.New())
}
