package admin

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"

	"filbert/pkg/untrusted"
)

// Names are the users of this machine, by their numbers.
type Names map[uint32]string

// maxNames bounds what is read of the password file: who is not in it goes by his number.
const maxNames = 100_000

// ReadNames reads a password file. It is read once, while a daemon may: users that are made
// later, and those of directories that only the C library knows, go by their numbers.
func ReadNames(path string) (Names, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the names of users: %w", err)
	}
	defer f.Close()
	names := Names{}
	in := bufio.NewScanner(f)
	for in.Scan() && len(names) < maxNames {
		w := strings.Split(in.Text(), ":")
		if len(w) < 3 || w[0] == "" {
			continue
		}
		uid, err := strconv.ParseUint(w[2], 10, 32)
		if _, known := names[uint32(uid)]; err == nil && !known { // the first name of a number counts
			names[uint32(uid)] = untrusted.From(w[0]).ForLog()
		}
	}
	return names, nil
}

// Of is the name of a user, or "uid N".
func (n Names) Of(uid uint32) string {
	if name, ok := n[uid]; ok {
		return name
	}
	return "uid " + strconv.FormatUint(uint64(uid), 10)
}

// Who is the name of who sent a request.
func (n Names) Who(r *http.Request) string { return n.Of(Peer(r).UID) }
