package localdeliver

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"filbert/pkg/argv"
	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// errTemplate means that the configuration is wrong, as opposed to a value of
// the message that does not fit where it goes.
var errTemplate = errors.New("bad template")

// expand fills the {placeholders} of a template. value gives one, checked for
// the place where it lands.
func expand(template string, value func(name string) (string, error)) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(template, "{")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, after, found := strings.Cut(rest, "}")
		if !found {
			return "", fmt.Errorf("%w: %q has no closing brace", errTemplate, template)
		}
		v, err := value(name)
		if err != nil {
			return "", err
		}
		b.WriteString(v)
		template = after
	}
}

// localPart is the recipient's local part without its detail: the "bob" of
// "bob+lists".
func (d *delivery) localPart() string {
	local, detail := d.Job.Recipient.Address.Local(), d.Job.Detail
	if n := len(local) - len(detail) - 1; detail != "" && n > 0 && strings.HasSuffix(local, detail) {
		return local[:n]
	}
	return local
}

// userName and home are those of whom the mail is for; where no director found
// a user, those of the one who acts.
func (d *delivery) userName() string {
	if d.Job.User != nil {
		return d.Job.User.Name
	}
	return d.Actor.Name
}

func (d *delivery) home() string {
	if d.Job.User != nil {
		return d.Job.User.Home
	}
	return d.Actor.Home
}

// pathValue gives a placeholder for a path: home and mail are directories, each
// of the others exactly one component.
func (d *delivery) pathValue(name string) (string, error) {
	switch name {
	case "home":
		return absolute(name, d.home())
	case "mail":
		return absolute(name, d.Mail)
	}
	v, err := d.value(name)
	if err != nil {
		return "", err
	}
	part, err := untrusted.From(v).ForPath()
	if err != nil {
		return "", fmt.Errorf("{%s}: %w", name, err)
	}
	return part, nil
}

func absolute(name, dir string) (string, error) {
	if !filepath.IsAbs(dir) || strings.IndexByte(dir, 0) >= 0 {
		return "", fmt.Errorf("%w: {%s} is no absolute path here", errTemplate, name)
	}
	return filepath.Clean(dir), nil
}

// value gives a placeholder unchecked.
func (d *delivery) value(name string) (string, error) {
	switch name {
	case "user":
		return d.userName(), nil
	case "local_part":
		return d.localPart(), nil
	case "domain":
		return d.Job.Recipient.Address.Domain(), nil
	case "detail":
		return d.Job.Detail, nil
	case "sender":
		return d.Job.Sender.String(), nil
	case "recipient":
		return d.Job.Recipient.Address.String(), nil
	case "home":
		return d.home(), nil
	case "id":
		return d.Job.ID.String(), nil
	}
	return "", fmt.Errorf("%w: there is no placeholder {%s}", errTemplate, name)
}

// mailbox is the path of the transport's mailbox and the directory at or below
// which nothing is ever created: the home, the instance's mail directory, or what
// the path itself names.
func (d *delivery) mailbox() (path, base string, o *outcome.Outcome) {
	path, err := expand(d.t.Path, d.pathValue)
	if err == nil && !filepath.IsAbs(path) {
		err = fmt.Errorf("%w: the path %q is not absolute", errTemplate, d.t.Path)
	}
	if errors.Is(err, errTemplate) {
		return "", "", deferred(outcome.Internal, statusConfig, "transport %q: %v", d.Job.Transport, err)
	}
	if err != nil {
		// What does not fit today will not fit tomorrow.
		return "", "", failed(outcome.UnknownUser, smtp.Status{Class: 5, Subject: 1, Detail: 1}, "no such mailbox: %v", err)
	}
	path = filepath.Clean(path)
	switch {
	case strings.HasPrefix(d.t.Path, "{home}/"):
		base = filepath.Clean(d.home())
		if o := d.checkHome(base); o != nil {
			return "", "", o
		}
	case strings.HasPrefix(d.t.Path, "{mail}/"):
		base = filepath.Clean(d.Mail)
	default:
		base = parentOf(path)
	}
	return path, base, nil
}

// arguments is the argument vector of a command.
func (d *delivery) arguments() ([]string, error) {
	if d.Job.Recipient.Kind != envelope.TargetPipe {
		return fillArguments(d.t.Command, d.value)
	}
	// An alias has no placeholders, and a brace is a brace.
	args, err := argv.Split(strings.TrimPrefix(d.Job.Recipient.Target, "|"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errTemplate, err)
	}
	return args, nil
}

// environment is the whole environment of a command.
func (d *delivery) environment() ([]string, error) {
	vars := []struct{ name, value string }{
		{"PATH", commandPath},
		{"HOME", d.Actor.Home},
		{"USER", d.Actor.Name},
		{"LOGNAME", d.Actor.Name},
		{"SENDER", d.Job.Sender.String()},
		{"RECIPIENT", d.Job.Recipient.Address.String()},
		{"LOCAL_PART", d.localPart()},
		{"DOMAIN", d.Job.Recipient.Address.Domain()},
		{"DETAIL", d.Job.Detail},
		{"MESSAGE_ID", d.Job.ID.String()},
	}
	var env []string
	for _, v := range vars {
		if !fitsEnvironment(v.value) {
			return nil, fmt.Errorf("%s: %w", v.name, errEnvironment)
		}
		env = append(env, v.name+"="+v.value)
	}
	return append(env, d.t.Environment...), nil
}

var errEnvironment = errors.New("value not fit for an environment variable")

// fitsEnvironment refuses what programs have taken for more than text: line
// ends and other controls, and the beginning that old shells took for a
// function to run.
func fitsEnvironment(v string) bool {
	for i := range len(v) {
		if v[i] < ' ' || v[i] == 0x7f {
			return false
		}
	}
	return !strings.HasPrefix(v, "()") && len(v) <= untrusted.MaxArg
}

// fromLine is the sender as a From_ line of an mbox has it: one word.
func fromLine(a mailaddr.Address) string {
	if a.IsNull() {
		return "MAILER-DAEMON"
	}
	return strings.ReplaceAll(a.String(), " ", "_")
}

// cleanTarget checks the file name of an alias.
func cleanTarget(target string) (string, error) {
	if !filepath.IsAbs(target) || strings.IndexByte(target, 0) >= 0 {
		return "", fmt.Errorf("the file %q of an alias is no absolute path", target)
	}
	path := filepath.Clean(target)
	if path == "/" {
		return "", errors.New("an alias names the root directory as a file")
	}
	return path, nil
}

func isDirName(target string) bool { return strings.HasSuffix(target, "/") }

func parentOf(path string) string { return filepath.Dir(path) }
