package script

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"strings"
)

// auth is AUTH of a sink with -auth: PLAIN and LOGIN (RFC 4954, section 4).
func (k *guest) auth(arg string) error {
	mechanism, initial, _ := strings.Cut(arg, " ")
	a := k.s.decide("auth", arg, "")
	if a != "" {
		_, err := k.act(a)
		return err
	}
	var user, password string
	switch mechanism = strings.ToUpper(mechanism); mechanism {
	case "PLAIN":
		text, err := k.response(initial, "334 ")
		if err != nil {
			return err
		}
		if f := bytes.Split(text, []byte{0}); len(f) == 3 {
			user, password = string(f[1]), string(f[2])
		}
	case "LOGIN":
		name, err := k.response(initial, "334 VXNlcm5hbWU6")
		if err != nil {
			return err
		}
		word, err := k.response("", "334 UGFzc3dvcmQ6")
		if err != nil {
			return err
		}
		user, password = string(name), string(word)
	default:
		_, err := k.act("504 5.5.4 unknown mechanism")
		return err
	}
	if known, ok := k.s.logins[user]; !ok || known != password {
		// As some servers do, who mean well.
		_, err := k.act("535 5.7.8 " + password + " is not the password of " + user)
		return err
	}
	k.login = user
	k.s.note(k.n, "--", user+" is logged in")
	_, err := k.act("235 2.7.0 welcome")
	return err
}

// response is what the client says to a challenge, or has said already.
func (k *guest) response(initial, challenge string) ([]byte, error) {
	if initial == "" {
		if _, err := k.act(challenge); err != nil {
			return nil, err
		}
		line, err := k.r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		initial = strings.TrimSuffix(line, "\r\n")
	}
	return base64.StdEncoding.DecodeString(initial)
}

// offerAuth is the line of EHLO for AUTH: where there is TLS, only inside.
func (k *guest) offerAuth() string {
	if _, secure := k.c.(*tls.Conn); k.s.logins == nil || k.login != "" || k.s.tls != nil && !secure {
		return ""
	}
	return "250-AUTH PLAIN LOGIN / "
}

// parseLogins reads "user:password,user:password".
func parseLogins(text string) map[string]string {
	if text == "" {
		return nil
	}
	out := map[string]string{}
	for _, login := range strings.Split(text, ",") {
		user, password, _ := strings.Cut(login, ":")
		out[user] = password
	}
	return out
}
