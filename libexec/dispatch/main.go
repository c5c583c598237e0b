// Command dispatch is run by master; see pkg/dispatch.
package main

import (
	"filbert/pkg/dispatch"
	"filbert/pkg/service"
)

func main() { service.Main("dispatch", dispatch.New()) }
