package root

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
)

// account is a user of the machine.
type account struct {
	name     string
	uid, gid int
}

var (
	suiteUsers  = []string{"filbert", "filbert-in", "filbert-out", "filbert-route", "filbert-db"}
	suiteGroups = []string{"filbert-drop", "filbert-adm"}
	endUsers    = []string{"fbtest1", "fbtest2"}
)

// usersOfInstall are the commands of INSTALL, section 2: the indented block with
// useradd in it.
func usersOfInstall() (string, error) {
	f, err := os.Open("../../INSTALL")
	if err != nil {
		return "", err
	}
	defer f.Close()
	var block strings.Builder
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "    ") {
			block.WriteString(strings.TrimSpace(line) + "\n")
			continue
		}
		if strings.Contains(block.String(), "useradd") {
			return block.String(), nil
		}
		if line != "" {
			block.Reset()
		}
	}
	return "", errors.New("INSTALL has no commands that make the users")
}

// addUsers makes whoever is missing and gives their names, for removal. A user
// who was there before is nobody's to remove.
func addUsers(homes string) (made []string, err error) {
	var missing []string
	for _, name := range suiteUsers {
		if _, err := user.Lookup(name); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == len(suiteUsers) {
		commands, err := usersOfInstall()
		if err != nil {
			return nil, err
		}
		made = append(made, missing...)
		if out, err := exec.Command("/bin/sh", "-ec", commands).CombinedOutput(); err != nil {
			return made, fmt.Errorf("the commands of INSTALL: %w\n%s", err, out)
		}
	} else if len(missing) > 0 {
		return nil, fmt.Errorf("of the suite's users only %s are missing: an installation that is not whole? Remove or complete it", strings.Join(missing, ", "))
	}
	for _, name := range endUsers {
		if err := removeLeftOver(name); err != nil {
			return made, err
		}
		made = append(made, name)
		out, err := exec.Command("useradd", "--create-home", "--home-dir", homes+"/"+name,
			"--shell", "/bin/sh", "--user-group", name).CombinedOutput()
		if err != nil {
			return made, fmt.Errorf("useradd %s: %w\n%s", name, err, out)
		}
	}
	return made, nil
}

// removeLeftOver removes an end user whom a run that was killed has left: one
// with a home in a site of ours, while the lock of TestMain says that no other run
// lives. Anybody else of that name is not ours to touch.
func removeLeftOver(name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return nil // nobody: as it should be
	}
	if !strings.Contains(u.HomeDir, "/"+sitePrefix) {
		return fmt.Errorf("there is a user %s already, with home %s, who is not of these tests: choose another machine", name, u.HomeDir)
	}
	if out, err := exec.Command("userdel", name).CombinedOutput(); err != nil {
		return fmt.Errorf("remove %s, left by a run that was killed: %w\n%s", name, err, out)
	}
	return nil
}

// removeUsers takes back what addUsers made. Their groups go with them, as they
// bear their names; the suite's other groups when its users were made by us.
func removeUsers(made []string) error {
	var errs []error
	for _, name := range made {
		if out, err := exec.Command("userdel", name).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("userdel %s: %w\n%s", name, err, out))
		}
		if name == suiteUsers[0] {
			for _, g := range suiteGroups {
				if out, err := exec.Command("groupdel", g).CombinedOutput(); err != nil {
					errs = append(errs, fmt.Errorf("groupdel %s: %w\n%s", g, err, out))
				}
			}
		}
	}
	return errors.Join(errs...)
}

func lookupAccount(name string) (account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, err
	}
	a := account{name: name}
	if a.uid, err = strconv.Atoi(u.Uid); err == nil {
		a.gid, err = strconv.Atoi(u.Gid)
	}
	return a, err
}

func lookupGroup(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}
