// Command router is run by master: address in, answer out. It reads the files
// that decide where mail goes and asks the domain name system, and can do nothing
// else. See pkg/router.
package main

import (
	"fmt"
	"os"

	"filbert/pkg/proto"
	"filbert/pkg/router"
	"filbert/pkg/service"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == proto.ExplainFlag {
		if err := router.Beside(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "router:", err)
			os.Exit(1)
		}
		return
	}
	service.Main("router", router.New(router.World{}))
}
