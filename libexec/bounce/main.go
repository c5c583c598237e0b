// Command bounce is run by master; see pkg/bounce.
package main

import (
	"filbert/pkg/bounce"
	"filbert/pkg/service"
)

func main() { service.Main("bounce", bounce.New()) }
