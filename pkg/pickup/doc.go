// Package pickup is how programs of this machine hand in mail: what they know as
// sendmail, mailq, newaliases and rmail. The command in that place (cmd/sendmail)
// only executes libexec/pickup, which is this package.
//
// It promises the caller that exit status 0 for a message means that the message
// is on stable storage: accepted by cleanup, or, while the suite is down, left in
// maildrop/. Every other status, from sysexits.h, means that nothing was kept and
// nothing will be sent. It promises the suite well-formed submissions: CRLF text,
// addresses that were parsed whole, an envelope within its limits.
//
// # The path of a message
//
//	process.go    make the process safe: environment, descriptors, limits, signals
//	options.go    what is wanted, as sendmail(1) says it
//	collect.go    read standard input
//	header.go     the header: recipients of -t, Bcc, From, the empty line
//	submit.go     hand it to cleanup  <- its 250 is exit status 0
//	drop.go       or leave it in maildrop/
//	drain.go      pickup --drain, started by master: hand in what lies there
//	dialogue.go   -bs: the same with SMTP on standard input and output
//	mailq.go      -bp and -q: ask qmgr
//	mine.go       mailq of one user: his own mail, in words (minewords.go)
//
// # Decisions
//
// Recipients of -t and of the command line are added up, as Postfix does; Exim
// takes the latter away. With any Resent- field in front of the first trace field
// the recipients are those of the most recent Resent- block alone (RFC 5322,
// section 3.6.6). One address that cannot be understood refuses the whole message
// (65): half of the recipients is nobody's wish. Bcc and Resent-Bcc are removed
// with and without -t, as sendmail does, because programs count on it; but not
// with -bs, which is SMTP and alters nothing. Options may stand behind addresses
// until "--". What sendmail has and we need not (-A, -h, -L, -m, -U, most -o) is
// accepted and means nothing; an unknown option is an error.
//
// Anyone may say -f: the envelope carries the login name and the kernel's user id
// beside it, and Received shows the former.
//
// A bare address gets the name in run/submit/name, one line that master writes at
// each start and reload (settings.Hostname). Without it (the suite has not run
// since the machine was started) etc/mailname, /etc/mailname and the machine's
// own name stand in, and at last localhost, which is always ours. No
// configuration is read: this runs with the rights of a group that its caller
// lacks. A message that waits in maildrop/ keeps its bare addresses until then.
//
// # The instance
//
// The installed one, or a private one under DIR: -C DIR as the very first
// argument (later ones name a sendmail configuration file and are ignored), else
// the environment's FILBERT_INSTANCE, which counts only for a process without
// the group's rights. With -C the process gives those rights up before it touches
// anything: what lies there belongs to whoever wrote the argument.
//
// # Security
//
// Runs as the caller, set-group-id filbert-drop, never set-user-id. All that the
// caller controls is hostile: the environment is thrown away (variables that the
// Go runtime obeys make it start again without them), inherited descriptors are
// closed, limits are checked, the size limit's signal is an error, and a
// signal is only obeyed between steps, so that no handler ever removes a file.
// What lies in maildrop/ is hostile too: the drain checks type, links, owner,
// format and size, and takes the user from the file's owner.
//
// # What a crash leaves
//
// Between two steps: nothing. In the middle of leaving a message in maildrop/:
// an unfinished file, which the drain removes after an hour. Between cleanup's
// 250 and the drain's removal: the message, which is handed in twice.
//
// # Standards
//
// RFC 5321 (-bs), RFC 5322, sections 3.4 (address lists) and 3.6.6 (Resent-
// fields), RFC 3461 (-N, -R, -V), RFC 2047, section 5 (names of -F).
package pickup
