// Command pickup takes mail of local programs; cmd/sendmail executes it under the
// names sendmail, mailq, newaliases and rmail, and master with --drain. See
// pkg/pickup.
package main

import (
	"os"

	"filbert/pkg/pickup"
)

func main() { os.Exit(pickup.Main()) }
