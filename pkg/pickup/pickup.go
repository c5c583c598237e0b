package pickup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"filbert/pkg/untrusted"
)

// pickup is one call.
type pickup struct {
	in       io.Reader
	out, err io.Writer
	program  string
	user     user
	fullName string // of the environment
	site     site
	opts     *options
	stop     *interrupts
	now      func() time.Time
}

// Main is the whole program; it returns the exit status.
func Main() int {
	c, err := arrest()
	p := &pickup{in: os.Stdin, out: os.Stdout, err: os.Stderr, program: c.program, stop: new(interrupts), now: time.Now}
	if err != nil {
		return p.exit(err)
	}
	p.stop.watch()
	if p.opts, err = parseOptions(c.program, c.args); err != nil {
		return p.exit(err)
	}
	return p.exit(p.prepare(c))
}

// prepare finds out who calls and for which instance, gives up rights that the
// mode does not need, and runs it.
func (p *pickup) prepare(c *caller) error {
	dir := p.opts.instance
	if dir == "" {
		dir = c.instance
	}
	if dir != "" || !p.opts.mode.submits() {
		if err := c.dropGroup(); err != nil {
			return err
		}
	}
	var err error
	if p.site, err = findSite(dir); err != nil {
		return err
	}
	p.user, p.fullName = lookupUser(c.uid), c.fullName
	return p.run()
}

// submits tells whether a mode hands in mail, for which it needs the group.
func (m mode) submits() bool {
	return m == modeDeliver || m == modeRmail || m == modeSMTP || m == modeDrain
}

func (p *pickup) run() error {
	switch p.opts.mode {
	case modeSMTP:
		return p.converse()
	case modeList:
		return p.mailq()
	case modeAliases:
		return p.newAliases()
	case modeVerify:
		return p.verify()
	case modeQueueRun:
		return p.runQueue()
	case modeDrain:
		return p.drain()
	}
	return p.deliver()
}

// exit tells what went wrong and gives the status.
func (p *pickup) exit(err error) int {
	if err != nil && (p.opts == nil || !p.opts.silent) {
		p.complain(err)
	}
	return statusOf(err)
}

// complain writes one line to standard error. Whatever came from outside shows
// as text on a terminal.
func (p *pickup) complain(err error) {
	fmt.Fprintf(p.err, "%s: %s\n", untrusted.From(p.program).ForTerminal(), err)
}

// newAliases is newaliases(1), which packages and administrators call after each
// change of an alias file.
func (p *pickup) newAliases() error {
	path := p.site.inst.Etc + "/aliases"
	switch _, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		fmt.Fprintf(p.out, "there is no %s; alias files are read directly, nothing has to be rebuilt\n", path)
	case err != nil:
		return fail(exNoPerm, "look at the alias file: %v", err)
	default:
		fmt.Fprintf(p.out, "%s is read directly, nothing has to be rebuilt (\"mtactl check\" finds mistakes in it)\n", path)
	}
	return nil
}

// verify is -bv. Who an address belongs to only router knows, and it is not ours
// to ask.
func (p *pickup) verify() error {
	list, err := operandRecipients(p.opts.operands)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fail(exUsage, "no address to verify")
	}
	for _, a := range list {
		shown := untrusted.From(p.site.qualify(a).String()).ForTerminal()
		fmt.Fprintf(p.out, "%s ... well formed (\"mtactl explain\" shows where it goes)\n", shown)
	}
	return nil
}
