//go:build !amd64

package root

import "testing"

func TestAProcessTakenOverGainsNothing(t *testing.T) {
	needRoot(t)
	t.Skip("system calls are injected on amd64 alone; kernel_test.go holds here too")
}
