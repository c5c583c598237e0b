package config

import (
	"strings"
	"testing"
)

// RFC 6710, section 7: priority-profile.
func TestNamesOfPolicies(t *testing.T) {
	for name, want := range map[string]bool{
		"MIXER": true, "STANAG4406": true, "a.b-c_d": true, "-x": true, strings.Repeat("x", 20): true,
		"": false, strings.Repeat("x", 21): false, "my policy": false, "ü": false, "a+b": false,
	} {
		if got := isProfile(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
