package smtp

import (
	"errors"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/untrusted"
)

// parsePath reads the keyword, the path and the space after it (RFC 5321,
// sections 4.1.1.2 and 4.1.2: Reverse-path, Forward-path). Spaces after the
// colon are let pass though section 3.3 forbids them: many devices send them,
// and they can mean nothing else.
func parsePath(s, keyword string) (addr mailaddr.Address, rest string, err error) {
	if len(s) < len(keyword) || !strings.EqualFold(s[:len(keyword)], keyword) {
		return addr, "", errors.New(keyword + "<address> wanted")
	}
	s = strings.TrimLeft(s[len(keyword):], " ")
	end := pathEnd(s)
	if end < 0 {
		return addr, "", errors.New("no <address>")
	}
	path, rest := s[1:end], s[end+1:]
	if rest != "" && rest[0] != ' ' {
		return addr, "", errors.New("no space after >")
	}
	rest = strings.TrimLeft(rest, " ")
	if path == "" {
		return addr, rest, nil
	}
	if path, err = dropRoute(path); err != nil {
		return addr, "", err
	}
	addr, err = mailaddr.ParseLocalOrMailbox(untrusted.From(path))
	return addr, rest, err
}

// pathEnd is the place of the > that closes the path, which in a quoted string
// is a letter like others; -1 when there is none.
func pathEnd(s string) int {
	if s == "" || s[0] != '<' {
		return -1
	}
	quoted := false
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '>' && !quoted:
			return i
		}
	}
	return -1
}

// dropRoute takes a source route off the front of a path: it must be
// accepted, should not be followed (RFC 5321, section 4.1.1.3 and appendix C),
// and we never follow it. Its hosts must still be hosts.
func dropRoute(path string) (string, error) {
	if path[0] != '@' {
		return path, nil
	}
	route, mailbox, ok := strings.Cut(path, ":")
	if strings.Contains(route, "[") {
		return "", errors.New("address literal in a source route")
	}
	if !ok || len(path) > MaxPath*4 {
		return "", errors.New("bad source route")
	}
	for hop := range strings.SplitSeq(route, ",") {
		host, at := strings.CutPrefix(hop, "@")
		if !at || host == "" {
			return "", errors.New("bad source route")
		}
		if _, err := mailaddr.New("x", host); err != nil {
			return "", errors.New("bad source route")
		}
	}
	return mailbox, nil
}
