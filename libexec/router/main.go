// Command router is run by master: address in, answer out. It reads the files
// that decide where mail goes and asks the domain name system, and can do nothing
// else. See pkg/router.
package main

import (
	"filbert/pkg/router"
	"filbert/pkg/service"
)

func main() { service.Main("router", router.New(router.World{})) }
