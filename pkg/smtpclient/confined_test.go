package smtpclient

import (
	"encoding/pem"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/service/servicetest"
	"filbert/pkg/settings"
	"filbert/pkg/smtpclient/smtptest"
)

// confinedServers makes this test binary the confined client of the servers
// that it names, separated by spaces: TCP, TCP from a source address, a Unix
// socket.
const confinedServers = "FILBERT_TEST_CONFINED_SERVERS"

func TestConfinedClientSpeaksTLSAndLMTP(t *testing.T) {
	if servers := os.Getenv(confinedServers); servers != "" {
		beConfined(t, strings.Fields(servers))
		return
	}
	if _, _, errno := syscall.AllThreadsSyscall(syscall.SYS_GETPID, 0, 0, 0); errno == syscall.ENOTSUP {
		t.Skip("built with cgo: run with CGO_ENABLED=0")
	}
	path := filepath.Join(t.TempDir(), "lmtp")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	tcp := smtptest.Drink(t, smtptest.Options{Extensions: []string{"STARTTLS", "PIPELINING", "8BITMIME"}})
	unix := smtptest.Drink(t, smtptest.Options{LMTP: true, Listener: l})
	cmd := exec.Command(os.Args[0], "-test.run=^TestConfinedClientSpeaksTLSAndLMTP$", "-test.v")
	cmd.Env = append(os.Environ(), confinedServers+"="+tcp.Addr().String()+" "+path)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Fatalf("%v\n%s", err, out)
	}
	if tcp.Count() != 3 || unix.Count() != 1 || !tcp.Mails()[0].TLS {
		t.Errorf("%d messages by TCP, %d by the socket\n%s", tcp.Count(), unix.Count(), out)
	}
}

// confinedVerified makes this test binary the confined client that logs in to a
// server.
const confinedVerified = "FILBERT_TEST_CONFINED_VERIFIED"

func TestConfinedClientVerifiesCertificates(t *testing.T) {
	// The authorities must have been read before: afterwards no file can be.
	if server := os.Getenv(confinedVerified); server != "" {
		s := settings.Default()
		s.Hostname = "client.test"
		s.Transports = map[string]settings.Transport{"smtp": {Driver: "smtp", TimeoutScale: 1, Username: testUser, Password: testPassword}}
		d := confine(t, s)
		want(t, deliver(t, d.client, newJob(away(d.client, netip.MustParseAddrPort(server), 587))), "delivered 250 2.0.0")
		return
	}
	if _, _, errno := syscall.AllThreadsSyscall(syscall.SYS_GETPID, 0, 0, 0); errno == syscall.ENOTSUP {
		t.Skip("built with cgo: run with CGO_ENABLED=0")
	}
	cert, _ := smtptest.Authority(t, "mx1.to.test")
	file := filepath.Join(t.TempDir(), "authorities.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[1]}), 0o600); err != nil {
		t.Fatal(err)
	}
	sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{"STARTTLS", "AUTH SCRAM-SHA-256"}, Login: logins(t), Certificate: &cert})
	cmd := exec.Command(os.Args[0], "-test.run=^TestConfinedClientVerifiesCertificates$", "-test.v")
	cmd.Env = append(os.Environ(), confinedVerified+"="+sink.Addr().String(), "SSL_CERT_FILE="+file, "SSL_CERT_DIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Fatalf("%v\n%s", err, out)
	}
	if sink.Count() != 1 || sink.Mails()[0].Login != "SCRAM-SHA-256" {
		t.Errorf("%d messages\n%s", sink.Count(), out)
	}
}

// confine makes this process a confined smtp-client.
func confine(t *testing.T, s *settings.Settings) *Daemon {
	d := New()
	p := servicetest.New(t, s, nil).Start(proto.SMTPClient, d)
	spec := d.Confinement(p)
	if _, err := privsep.Confine(spec); err != nil {
		t.Fatal(err)
	}
	if err := privsep.Assert(spec); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile("/etc/passwd"); err == nil {
		t.Error("a file can be read")
	}
	return d
}

// beConfined runs in a process of its own.
func beConfined(t *testing.T, servers []string) {
	s := settings.Default()
	s.Hostname = "client.test"
	s.Transports = map[string]settings.Transport{
		"smtp": {Driver: "smtp", TimeoutScale: 1},
		"from": {Driver: "smtp", TimeoutScale: 1, SourceAddresses: []string{"127.0.0.9"}},
		"lmtp": {Driver: "lmtp", TimeoutScale: 1, Socket: servers[1]},
	}
	d := confine(t, s)
	addr := netip.MustParseAddrPort(servers[0])
	for _, name := range []string{"smtp", "smtp", "from", "lmtp"} {
		job := newJob(to(addr))
		if name == "lmtp" {
			job.Hosts = nil
		}
		job.Transport = name
		want(t, deliver(t, d.client, job), "delivered 250 2.0.0")
	}
}
