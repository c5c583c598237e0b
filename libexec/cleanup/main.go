// Command cleanup is run by master; see pkg/cleanup.
package main

import (
	"filbert/pkg/cleanup"
	"filbert/pkg/service"
)

func main() { service.Main("cleanup", cleanup.New()) }
