//go:build interop

package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// settings are what ${NAME} in a server's configuration stands for.
type settings map[string]string

func (s settings) has(extension string) bool {
	return !strings.Contains(","+s["WITHOUT"]+",", ","+extension+",")
}

// A kind is what one must know of a server to run it.
type kind struct {
	program []string
	tree    string // its files, as install.sh names them; "" = the kind's name
	greets  string // what it says first; "" = 220
	log     string
	users   map[string]int
	dirs    []directory
	derive  func(settings) // completes the settings
}

// kinds are the servers that we test with.
var kinds = map[string]kind{
	"postfix": {
		// master itself: the script postfix(1) needs half of a system.
		program: []string{"/usr/lib/postfix/sbin/master", "-d"},
		log:     "var/log/postfix.log",
		users:   map[string]int{"postfix": 64041, "postdrop": 64042, "box": boxID},
		dirs: []directory{
			{"var/lib/postfix", 0o700, 64041, 64041}, {"var/spool/postfix", 0o755, 0, 0},
			{"var/spool/postfix/pid", 0o755, 0, 0}, {"var/spool/postfix/private", 0o700, 64041, 64041},
			{"var/spool/postfix/public", 0o711, 64041, 64041}, {"var/spool/postfix/maildrop", 0o730, 64041, 64041},
			{"var/spool/postfix/incoming", 0o700, 64041, 64041}, {"var/spool/postfix/active", 0o700, 64041, 64041},
			{"var/spool/postfix/deferred", 0o700, 64041, 64041}, {"var/spool/postfix/defer", 0o700, 64041, 64041},
			{"var/spool/postfix/bounce", 0o700, 64041, 64041}, {"var/spool/postfix/corrupt", 0o700, 64041, 64041},
			{"var/spool/postfix/flush", 0o700, 64041, 64041}, {"var/spool/postfix/hold", 0o700, 64041, 64041},
			{"var/spool/postfix/saved", 0o700, 64041, 64041}, {"var/spool/postfix/trace", 0o700, 64041, 64041},
		},
		derive: func(settings) {},
	},
	"exim": {
		program: []string{"/usr/sbin/exim4", "-bdf", "-q1s"},
		log:     "var/log/exim-mainlog",
		users:   map[string]int{"Debian-exim": 64043, "box": boxID},
		dirs:    []directory{{"var/spool/exim4", 0o750, 64043, 64043}},
		derive: func(s settings) {
			for _, name := range []string{"starttls", "chunking", "pipelining", "dsn", "smtputf8"} {
				hosts := ""
				if s.has(name) {
					hosts = "*"
				}
				s[strings.ToUpper(name)+"_HOSTS"] = hosts
			}
			s["ACCEPT_8BITMIME"] = fmt.Sprint(s.has("8bitmime"))
		},
	},
	"opensmtpd": {
		program: []string{"/usr/sbin/smtpd", "-d"},
		log:     "out",
		users:   map[string]int{"opensmtpd": 64044, "opensmtpq": 64045, "box": boxID},
		dirs: []directory{
			{"var/lib/opensmtpd", 0o711, 0, 0}, {"var/lib/opensmtpd/empty", 0o755, 0, 0}, {"var/run", 0o755, 0, 0},
			{"var/spool/smtpd", 0o711, 0, 0}, {"var/spool/smtpd/offline", 0o770, 0, 64045},
		},
		derive: func(s settings) {
			s["TLS"] = ""
			if s.has("starttls") {
				s["TLS"] = "tls pki far"
			}
		},
	},
	"dovecot": {
		program: []string{"/usr/sbin/dovecot", "-F"},
		log:     "var/log/dovecot.log",
		users:   map[string]int{"dovecot": 64046, "dovenull": 64047, "box": boxID},
		derive:  func(settings) {},
	},
	// Not a mail server: it tells Postfix who has logged in.
	"sasl": {
		program: []string{"/usr/sbin/dovecot", "-F"},
		tree:    "dovecot",
		greets:  "VER",
		log:     "var/log/dovecot.log",
		users:   map[string]int{"dovecot": 64046, "dovenull": 64047, "box": boxID},
		derive:  func(s settings) { s["PEER_IP"] = saslIP },
	},
}

// makeCertificate makes a certificate that nobody has reason to trust, but who
// is told to trust this one.
func (p *peer) makeCertificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: p.name + ".test"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
		DNSNames:     []string{p.name + ".test"},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	// Exim reads the key as its own user, OpenSMTPD wants it to be root's alone.
	path := filepath.Join(p.root, "etc/tls/key.pem")
	err = errors.Join(
		p.put("etc/tls/cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))),
		p.put("etc/tls/key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))),
		os.Chmod(path, 0o600),
	)
	if id, ok := p.users["Debian-exim"]; ok && err == nil {
		err = os.Chown(path, id, id)
	}
	return err
}
