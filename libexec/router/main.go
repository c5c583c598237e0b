// Command router is run by master; see pkg/router.
package main

import (
	"filbert/pkg/router"
	"filbert/pkg/service"
)

func main() { service.Main("router", router.New(router.World{})) }
