// Command mtadb keeps what the suite remembers, and the history of messages.
// Master runs it; see pkg/mtadb.
package main

import (
	"filbert/pkg/mtadb"
	"filbert/pkg/service"
)

func main() { service.Main("mtadb", mtadb.New()) }
