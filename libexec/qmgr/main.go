// Command qmgr decides when what was deferred is tried again, and serves the administrator's queue commands.
// Master runs it; see pkg/qmgr.
package main

import (
	"filbert/pkg/qmgr"
	"filbert/pkg/service"
)

func main() { service.Main("qmgr", qmgr.New()) }
