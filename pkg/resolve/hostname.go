package resolve

import "strings"

// The bounds of RFC 1035, section 2.3.4, in presentation form.
const (
	maxName  = 253
	maxLabel = 63
)

// hostname checks a name from an answer or of a question and gives its one
// form: lower case, without the dot at its end. Letters, digits and hyphens
// as in RFC 1123, section 2.1; underscores too, since real mail servers have
// them and nothing that we do with a name minds. A last label of digits is
// refused: the name would read as an IPv4 address.
func hostname(s string) (string, bool) {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > maxName {
		return "", false
	}
	var label string
	for rest, more := s, true; more; {
		label, rest, more = strings.Cut(rest, ".")
		if !hostLabel(label) {
			return "", false
		}
	}
	if strings.Trim(label, "0123456789") == "" {
		return "", false
	}
	return strings.ToLower(s), true
}

func hostLabel(l string) bool {
	if l == "" || len(l) > maxLabel || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := range len(l) {
		c := l[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
