package socketmap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"filbert/pkg/lookup"
	"filbert/pkg/untrusted"
)

// MaxReply bounds a reply; the programs that speak the protocol have the same.
const MaxReply = 100_000

// errProtocol is wrapped by the errors about what is not the protocol.
var errProtocol = errors.New("not a socketmap reply")

func appendNetstring(b []byte, s string) []byte {
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(b, ':')
	b = append(b, s...)
	return append(b, ',')
}

// readNetstring reads "5:hello,".
func readNetstring(in *bufio.Reader) (string, error) {
	n, err := readLength(in)
	if err != nil {
		return "", err
	}
	data := make([]byte, n+1)
	if _, err := io.ReadFull(in, data); err != nil {
		return "", ended(err)
	}
	if data[n] != ',' {
		return "", fmt.Errorf("%w: no comma at the end", errProtocol)
	}
	return string(data[:n]), nil
}

// readLength reads the digits and the colon; a number has one way to be written.
func readLength(in *bufio.Reader) (int, error) {
	n := 0
	for i := 0; ; i++ {
		c, err := in.ReadByte()
		switch {
		case err != nil:
			return 0, ended(err)
		case c == ':' && i > 0:
			return n, nil
		case c < '0' || c > '9' || n == 0 && i > 0:
			return 0, fmt.Errorf("%w: no length", errProtocol)
		}
		if n = n*10 + int(c-'0'); n > MaxReply {
			return 0, fmt.Errorf("%w: more than %d octets", errProtocol, MaxReply)
		}
	}
}

// ended says what an end in the middle is.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseReply reads what is in the netstring. An error that is not errProtocol is
// an answer all the same, and leaves the connection in order.
func parseReply(reply string) (lookup.Answer, error) {
	word, text, _ := strings.Cut(reply, " ")
	switch word {
	case "OK":
		if text == "" {
			return lookup.Answer{Found: true}, nil
		}
		values := []string{text}
		if err := lookup.Usable(values); err != nil {
			return lookup.Answer{}, err
		}
		return lookup.Answer{Found: true, Values: values}, nil
	case "NOTFOUND":
		return lookup.Answer{}, nil
	case "TEMP", "TIMEOUT", "PERM":
		return lookup.Answer{}, fmt.Errorf("it said %s", untrusted.From(reply).ForLog())
	}
	return lookup.Answer{}, fmt.Errorf("%w: %s", errProtocol, untrusted.From(reply).ForLog())
}
