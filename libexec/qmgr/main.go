// Command qmgr is run by master; see pkg/qmgr.
package main

import (
	"filbert/pkg/qmgr"
	"filbert/pkg/service"
)

func main() { service.Main("qmgr", qmgr.New()) }
