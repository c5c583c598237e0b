package mtactl

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"filbert/pkg/config"
	"filbert/pkg/lookup"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// plan is what `init` was told.
type plan struct {
	hostname      string
	domains       []string
	smtp          []string
	submission    []string
	dns           []string
	smarthost     string
	maildirForAll bool
	user          string // who runs the instance
	inst          settings.Instance
	self          string // how to call mtactl, for the files' comments
}

func (a *app) initCommand() *cobra.Command {
	p := &plan{}
	c := &cobra.Command{
		Use:   "init",
		Short: "make a private instance under -C DIR",
		Long: `init makes a private instance: a mail server that lies wholly under one directory,
needs no root, and runs as you. It writes a commented configuration, an alias file
and a table of users, and makes the directories. Mail for your own name (and for
postmaster and root) lands in a Maildir under DIR/mail.

Nothing is overwritten: where there is an instance already, init says so.`,
		Example: `  mtactl -C ~/mta init --smtp 127.0.0.1:2525
  mtactl -C /tmp/t init --hostname mail.test --domain a.test --domain b.test \
      --smtp 127.0.0.1:0 --dns 127.0.0.1:5353
  mtactl -C ~/mta init --smarthost smtp.example.net:587`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.init(p) },
	}
	f := c.Flags()
	f.StringVar(&p.hostname, "hostname", "", "the mail `NAME` of this machine (default: its own)")
	f.StringArrayVar(&p.domains, "domain", nil, "a local `DOMAIN` (may be repeated; default: the hostname and localhost)")
	f.StringArrayVar(&p.smtp, "smtp", nil, "listen for SMTP on `ADDRESS`, like 127.0.0.1:2525 (may be repeated; port 0 picks a free one)")
	f.StringArrayVar(&p.submission, "submission", nil, "listen for submission by your own users on `ADDRESS`")
	f.StringArrayVar(&p.dns, "dns", nil, "ask the name server at `ADDRESS` instead of the system's (may be repeated)")
	f.StringVar(&p.smarthost, "smarthost", "", "send all mail for elsewhere through `HOST:PORT`")
	f.BoolVar(&p.maildirForAll, "maildir-for-all", false, "take mail for every name in the local domains, each into a Maildir of that name")
	return c
}

func (a *app) init(p *plan) error {
	inst, err := a.instance()
	if err != nil {
		return err
	}
	if !inst.Private {
		return fail(exUsage, "mtactl -C DIR init; the installed instance was made by `make install`", "init makes private instances: say where with -C DIR")
	}
	p.inst, p.self = inst, a.self()
	if err := a.noneYet(inst); err != nil {
		return err
	}
	if err := p.complete(); err != nil {
		return err
	}
	if path := inst.Control(proto.ControlMaster); len(path) > maxSocket {
		return fail(exUsage, "choose a directory with a shorter name", "the path of a socket would have %d bytes (%s), and the kernel takes %d", len(path), path, maxSocket)
	}
	// The configuration is tried before anything is written.
	text := p.configuration()
	if err := a.try(inst, text); err != nil {
		return err
	}
	if err := makeDirs(inst); err != nil {
		return err
	}
	files := []struct{ name, text string }{
		{"aliases", p.aliases()},
		{"users", p.users()},
		{"filbert.toml", text}, // last: it is what makes an instance
	}
	for _, f := range files {
		if err := writeNew(filepath.Join(inst.Etc, f.name), f.text); err != nil {
			return err
		}
	}
	a.initDone(p)
	return nil
}

// noneYet refuses to touch what is there.
func (a *app) noneYet(inst settings.Instance) error {
	if _, err := os.Stat(inst.ConfigFile()); err == nil {
		hint := fmt.Sprintf("use it (%s start), change %s, or choose another directory; to begin anew, stop it and remove %s", a.self(), inst.ConfigFile(), shellWord(inst.Dir))
		if held(inst) {
			hint = fmt.Sprintf("it is running: %s status. Use it, or stop it and choose another directory", a.self())
		}
		return fail(exCantCreate, hint, "there is an instance under %s already", inst.Dir)
	}
	if entries, err := os.ReadDir(inst.Dir); err == nil && len(entries) > 0 {
		for _, e := range entries {
			if !strings.Contains(" etc spool db run log mail ", " "+e.Name()+" ") {
				return fail(exCantCreate, "choose an empty or a new directory", "%s has other things in it (%s)", inst.Dir, show(e.Name()))
			}
		}
	}
	return nil
}

// complete fills in what was not said, and checks what was in the words of the
// command line.
func (p *plan) complete() error {
	if p.hostname != "" && !isDomainName(p.hostname) {
		return fail(exUsage, "write it like mail.example.org", "--hostname %q is no host name", p.hostname)
	}
	for _, d := range p.domains {
		if !isDomainName(d) {
			return fail(exUsage, "write it like example.org", "--domain %q is no domain", d)
		}
	}
	for flag, list := range map[string][]string{"smtp": p.smtp, "submission": p.submission} {
		for _, addr := range list {
			if _, _, err := net.SplitHostPort(addr); err != nil {
				return fail(exUsage, "write it like 127.0.0.1:2525", "--%s %q is no listening address", flag, addr)
			}
		}
	}
	if p.hostname == "" {
		p.hostname = config.MachineName()
		if !strings.Contains(p.hostname, ".") && len(p.domains) > 0 {
			// A machine that does not know its domain: other servers want one.
			p.hostname += "." + p.domains[0]
		}
	}
	u, err := user.Current()
	if err != nil {
		return fail(exUnavailable, "", "find out who you are").because(err)
	}
	p.user = u.Username
	if _, err := lookup.ParseUsers("users", []byte("x "+p.user)); err != nil {
		return fail(exDataErr, "", "your user name cannot be used in a table of users").because(err)
	}
	return nil
}

func isDomainName(s string) bool {
	_, err := mailaddr.New("x", s)
	return err == nil && s != "" && !strings.HasPrefix(s, "[")
}

// try loads a configuration from a scratch directory.
func (a *app) try(inst settings.Instance, text string) error {
	scratch, err := os.MkdirTemp("", "mtactl-init-")
	if err != nil {
		return fail(exCantCreate, "", "make a scratch directory").because(err)
	}
	defer os.RemoveAll(scratch)
	path := filepath.Join(scratch, "filbert.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fail(exCantCreate, "", "write a scratch file").because(err)
	}
	_, problems, err := config.Load(path, inst)
	if err == nil {
		return nil
	}
	for _, p := range problems {
		if p.Severity == config.Mistake {
			return fail(exUsage, p.Hint, "%s %s", p.Key, p.What)
		}
	}
	return fail(exSoftware, "", "try the configuration").because(err)
}

func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fail(exCantCreate, "move it away", "%s is there already", path)
	}
	if err != nil {
		return fail(exCantCreate, "", "make a file of the instance").because(err)
	}
	_, err = f.WriteString(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fail(exCantCreate, "", "write a file of the instance").because(err)
	}
	return nil
}

func (a *app) initDone(p *plan) {
	fmt.Fprintf(a.Out, "A private instance lies under %s.\n\n", p.inst.Dir)
	t := &table{}
	t.add("  "+p.inst.ConfigFile(), "its configuration")
	t.add("  "+filepath.Join(p.inst.Etc, "users"), "who has a mailbox: you, "+p.user)
	t.add("  "+filepath.Join(p.inst.Etc, "aliases"), "other names for them")
	t.add("  "+filepath.Join(p.inst.Mail, p.user), "your Maildir, once there is mail")
	t.print(a, false)
	if len(p.smtp)+len(p.submission) == 0 {
		fmt.Fprintf(a.Out, "\nIt listens nowhere (add --smtp 127.0.0.1:2525, or a [[listen]]): mail comes from sendmail alone.\n")
	}
	fmt.Fprintf(a.Out, "\nNext: %s start\n", p.self)
}
