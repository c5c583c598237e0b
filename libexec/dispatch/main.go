// Command dispatch carries out the attempts to deliver a message and settles what comes of them.
// Master runs it; see pkg/dispatch.
package main

import (
	"filbert/pkg/dispatch"
	"filbert/pkg/service"
)

func main() { service.Main("dispatch", dispatch.New()) }
