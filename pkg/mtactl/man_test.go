package mtactl

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

//go:generate go test -run TestManualPageIsUpToDate -update .

var update = flag.Bool("update", false, "write the manual page anew")

// TestManualPageIsUpToDate holds mtactl(8) against the commands' own help.
func TestManualPageIsUpToDate(t *testing.T) {
	a := &app{Stdio: Stdio{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}, ctx: t.Context(), now: time.Now}
	want := []byte(manPage(a.command()))
	const name = "../../doc/man/mtactl.8"
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the commands say: run `make generate` (%v)", name, err)
	}
}

func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		switch {
		case l == "":
			lines[i] = ".PP"
		case strings.HasPrefix(l, "."), strings.HasPrefix(l, "'"):
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

func manPage(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(".\\\" Generated from the commands' help in pkg/mtactl; do not edit.\n")
	b.WriteString(".TH MTACTL 8 2026 \"Filbert\" \"System administration\"\n.SH NAME\nmtactl \\- " + roff(root.Short) + "\n")
	b.WriteString(".SH SYNOPSIS\n.B mtactl\n[\\-C DIR] COMMAND [options] [arguments]\n.SH DESCRIPTION\n" + roff(root.Long) + "\n")
	b.WriteString(".SH COMMANDS\n")
	for _, c := range root.Commands() {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		manCommand(&b, c)
	}
	b.WriteString(`.SH EXIT STATUS
As in sysexits(3): 0 well; 1 check found something; 64 wrong use; 65 wrong input; 69 the
suite does not run or did not answer; 73 a file could not be made; 75 try again; 77 not
permitted; 78 the configuration has mistakes.
.SH FILES
.TP
/etc/filbert/filbert.toml
the configuration, filbert.toml(5)
.TP
/run/filbert/control
the sockets that mtactl speaks to: JSON over HTTP, for root, the owner of the instance and
members of users.admin_group; curl \-\-unix\-socket works as well
.TP
/var/log/filbert/filbert.log
the log
.SH SEE ALSO
.BR filbert (7),
.BR filbert.toml (5),
.BR filbert\-log (5),
.BR sendmail (1)
`)
	return b.String()
}

func manCommand(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, ".SS %s\n", roff(strings.TrimPrefix(c.UseLine(), "mtactl ")))
	if c.Long != "" {
		b.WriteString(roff(c.Long) + "\n")
	} else {
		b.WriteString(roff(c.Short) + "\n")
	}
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(strings.TrimSpace(name+" "+value)), roff(usage))
	})
	if c.Example != "" {
		fmt.Fprintf(b, ".PP\n.nf\n%s\n.fi\n", strings.ReplaceAll(roff(c.Example), ".PP", ""))
	}
	for _, sub := range c.Commands() {
		manCommand(b, sub)
	}
}
