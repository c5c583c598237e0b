// Command cleanup completes messages, commits them to the journal and so accepts them.
// Master runs it; see pkg/cleanup.
package main

import (
	"filbert/pkg/cleanup"
	"filbert/pkg/service"
)

func main() { service.Main("cleanup", cleanup.New()) }
