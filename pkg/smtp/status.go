package smtp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrBadStatus is wrapped by the errors of ParseStatus.
var ErrBadStatus = errors.New("not an enhanced status code")

// Status is an enhanced status code (RFC 3463). The zero value is "none".
type Status struct {
	Class, Subject, Detail int
}

// String is the form 5.1.1; "" for the zero value.
func (s Status) String() string {
	if s.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", s.Class, s.Subject, s.Detail)
}

// IsZero reports whether there is no status.
func (s Status) IsZero() bool { return s == Status{} }

// Permanent reports whether the status is of class 5.
func (s Status) Permanent() bool { return s.Class == 5 }

// Temporary reports whether the status is of class 4.
func (s Status) Temporary() bool { return s.Class == 4 }

// Success reports whether the status is of class 2.
func (s Status) Success() bool { return s.Class == 2 }

// ParseStatus reads class.subject.detail: class 2, 4 or 5, the others at most
// three digits without leading zeros (RFC 3463, section 2).
func ParseStatus(s string) (Status, error) {
	class, rest, _ := strings.Cut(s, ".")
	subject, detail, ok := strings.Cut(rest, ".")
	if !ok || class != "2" && class != "4" && class != "5" {
		return Status{}, ErrBadStatus
	}
	sub, err := statusNumber(subject)
	if err != nil {
		return Status{}, err
	}
	det, err := statusNumber(detail)
	if err != nil {
		return Status{}, err
	}
	return Status{int(class[0] - '0'), sub, det}, nil
}

func statusNumber(s string) (int, error) {
	if !isDigits(s) || len(s) > 3 || len(s) > 1 && s[0] == '0' {
		return 0, ErrBadStatus
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, ErrBadStatus
	}
	return n, nil
}

// isDigits reports whether s is one or more decimal digits and nothing else:
// strconv alone would take a sign, and for some functions underscores.
func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
