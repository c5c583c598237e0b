package master

import (
	"slices"
	"testing"
)

func TestDaemonsSeeNothingOfTheEnvironmentButWhatTheyNeed(t *testing.T) {
	t.Setenv("TZ", "UTC")
	t.Setenv("SSL_CERT_FILE", "/own/authorities.pem")
	t.Setenv("SSL_CERT_DIR", "/own/authorities")
	t.Setenv("SECRET", "x")
	want := []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C", "TZ=UTC", "SSL_CERT_FILE=/own/authorities.pem", "SSL_CERT_DIR=/own/authorities"}
	if got := environment(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
