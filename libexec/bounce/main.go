// Command bounce writes delivery reports and submits them.
// Master runs it; see pkg/bounce.
package main

import (
	"filbert/pkg/bounce"
	"filbert/pkg/service"
)

func main() { service.Main("bounce", bounce.New()) }
