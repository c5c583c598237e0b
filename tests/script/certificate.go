package script

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// authority signs the certificates of the sinks that have one for a name. The
// suite trusts it, and no other, as SSL_CERT_FILE says.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// startAuthority makes the script's authority and the file that has it.
func (w *world) startAuthority(e *testscript.Env) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert := template("authority.test")
	cert.IsCA, cert.BasicConstraintsValid, cert.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		return err
	}
	w.authority = &authority{key: key, cert: cert}
	file := filepath.Join(w.dir, "authorities.pem")
	e.Setenv("SSL_CERT_FILE", file)
	e.Setenv("SSL_CERT_DIR", filepath.Join(w.dir, "no-authorities"))
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Now().Add(time.Hour),
	}
}

// certified is the configuration of a server with a certificate that nobody
// vouches for, as most mail servers have, or that of the authority for a name.
func (w *world) certified(name string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert := template("sink.test")
	by, with := cert, key
	if name != "" {
		cert.DNSNames, by, with = []string{name}, w.authority.cert, w.authority.key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, by, &key.PublicKey, with)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}

// elsewhere is an address of this machine that is not of loopback, "" if it has
// none: to the suite, a server there is one on the net, though no packet leaves
// the machine.
func elsewhere() string {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return ""
}
