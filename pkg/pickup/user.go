package pickup

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
)

// maxPasswdLine bounds a line of the password file.
const maxPasswdLine = 16 << 10

// user is who called, as the kernel and the password file say.
type user struct {
	uid   int
	login string
	name  string // the person's, from the comment field
}

// lookupUser finds a user in the password file. One who is not there (of a
// directory service, of a container) is called "#" and the number: no login can
// look so.
func lookupUser(uid int) user {
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return user{uid: uid, login: "#" + strconv.Itoa(uid)}
	}
	defer f.Close()
	return findUser(f, uid)
}

func findUser(r io.Reader, uid int) user {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxPasswdLine)
	want := strconv.Itoa(uid)
	for lines.Scan() {
		// name:password:uid:gid:comment:home:shell
		f := strings.Split(lines.Text(), ":")
		if len(f) == 7 && f[2] == want && f[0] != "" {
			return user{uid: uid, login: f[0], name: personName(f[4], f[0])}
		}
	}
	return user{uid: uid, login: "#" + want}
}

// personName is the first part of the comment field, in which & means the
// login name with a capital, as finger(1) has it.
func personName(comment, login string) string {
	name, _, _ := strings.Cut(comment, ",")
	return strings.ReplaceAll(name, "&", strings.ToUpper(login[:1])+login[1:])
}
