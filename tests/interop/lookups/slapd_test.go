//go:build interop

package lookups

import (
	"fmt"
	"strings"
	"testing"

	"filbert/pkg/settings"
)

const slapdConf = `
include ROOT/etc/ldap/schema/core.schema
include ROOT/etc/ldap/schema/cosine.schema
include ROOT/etc/ldap/schema/inetorgperson.schema
modulepath ROOT/usr/lib/ldap
moduleload back_mdb
pidfile DIR/pid
TLSCACertificateFile DIR/ca.pem
TLSCertificateFile DIR/server.pem
TLSCertificateKeyFile DIR/server.key
database mdb
suffix "dc=example"
rootdn "cn=admin,dc=example"
rootpw secret1
directory DIR/data
maxsize 10485760
access to * by anonymous auth by users read
limits dn.exact="cn=small,dc=example" size=2
`

const people = `dn: dc=example
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: cn=small,dc=example
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: small
userPassword: secret3

dn: uid=joe,dc=example
objectClass: inetOrgPerson
uid: joe
cn: joe
sn: joe
mail: joe@a.org
description: x@b.org

dn: uid=many,dc=example
objectClass: inetOrgPerson
uid: many
cn: many
sn: many
mail: many@a.org
description: 1@b.org
description: 2@b.org
title: 3@b.org

dn: uid=j,dc=example
objectClass: inetOrgPerson
uid: jürgen
cn: j
sn: j
employeeType: jürgen@a.org
description: zoë@b.org

dn: uid=o'neil,dc=example
objectClass: inetOrgPerson
uid: o'neil
cn: o
sn: o
mail: o'neil@a.org
description: o'neil@b.org

dn: uid=a\,b,dc=example
objectClass: inetOrgPerson
uid: a,b
cn: ab
sn: ab
`

func TestSlapd(t *testing.T) {
	t.Parallel()
	s := newServer(t, "slapd")
	conf := s.file(t, "conf", strings.NewReplacer("ROOT", s.root, "DIR", s.dir).Replace(slapdConf))
	s.run(t, "usr/sbin/slapd", "-Tadd", "-f", conf, "-l", s.file(t, "ldif", people))
	s.command = []string{"usr/sbin/slapd", "-d", "0", "-f", conf, "-h", fmt.Sprintf("ldap://127.0.0.1:%d ldaps://127.0.0.1:%d ldapi://%s/????x-mod=0777",
		s.port, s.tls, strings.ReplaceAll(s.path("s"), "/", "%2F"))}
	s.start(t)

	unix := settings.Lookup{Type: "ldap", Servers: []string{"ldapi://" + s.path("s")}, Username: "cn=admin,dc=example", Password: "secret1",
		Base: "dc=example", Query: "(|(mail={key})(employeeType={key}))", Attributes: []string{"description", "Title"}}
	tcp := unix
	tcp.Servers = []string{fmt.Sprintf("ldap://localhost:%d", s.port)}
	starttls := tcp
	starttls.TLS, starttls.CAFile = "starttls", s.path("ca.pem")
	secure := starttls
	secure.TLS, secure.Servers = "", []string{fmt.Sprintf("ldaps://localhost:%d", s.tls)}
	gives(t, unix)
	gives(t, tcp)
	gives(t, starttls)
	gives(t, secure)
	worksConfined(t, map[string]settings.Lookup{"unix": unix, "tcp": tcp, "starttls": starttls, "tls": secure})

	byDN := unix
	byDN.Base, byDN.Scope, byDN.Query, byDN.Attributes = "uid={local_part},dc=example", "base", "(objectClass=*)", nil
	table := opened(t, byDN)
	wants(t, table, "joe", true)
	wants(t, table, "a,b@a.org", true)
	wants(t, table, "nobody", false)
	wants(t, table, "joe,uid=x", false)

	small := unix
	small.Username, small.Password, small.Query = "cn=small,dc=example", "secret3", "(|(mail={key})(objectClass=*))"
	fails(t, small, "Size Limit")
	lost := unix
	lost.Base = "dc=elsewhere"
	fails(t, lost, "ldap") // a referral, or no such object: never "not found"
	for _, set := range []*settings.Lookup{&starttls, &secure} {
		unknown := *set
		unknown.CAFile = ""
		fails(t, unknown, "certificate")
	}
	wrong := unix
	wrong.Password = "wrong-password"
	fails(t, wrong, "Invalid Credentials")
	outlives(t, s, unix)
	outlives(t, s, starttls)
}
