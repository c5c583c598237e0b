// Package aliases reads alias files: who a name stands for.
//
// # The file
//
//	# a comment
//	name: item, item,
//	    item                      a line that begins with a blank continues
//	name@example.org: item        for this address only; tried first
//	"odd name": item              a local part that needs quotes
//	owner-name: item              who is told of failures of name
//
// A name is a local part; upper and lower case are the same. It may stand in
// the file once. An item is one of
//
//	someone@example.org           an address
//	someone                       a local part in the domain of the name
//	\someone                      the same, not looked up in alias files again
//	|/usr/bin/program args        a command; "|..." when it has a comma in it
//	/var/mail/list                a file; with a slash at its end, a Maildir
//	:include:/path/to/list        the addresses in a file
//	:fail: text                   refuse, and say so; the text is the rest of the entry
//	:defer: text                  not now
//	:blackhole:                   throw it away
//
// The last three stand alone. A file that is included has items too, separated
// by commas or line ends, but no commands, files, or verdicts.
//
// A file of whole domains has names of its own kinds:
//
//	name@example.org: item        for this address
//	@example.org: item            for every address there without an entry
//
// and there an item may be "@example.net" too: the same local part in another
// domain. A name without a domain is a user of this machine there, not one of
// the domain.
//
// A forward file is a list of items like a file that is included, with commands
// and files, but without verdicts.
//
// # Commands
//
// A command is taken apart into its arguments here, once, and never by a shell.
// Arguments are separated by blanks. Within single quotes everything is
// literal, within double quotes a backslash protects a quote or a backslash,
// outside it protects any character. What would mean something to a shell (| &
// ; < > ( ) $ ` * ? [ ] # ~) is refused outside quotes: whoever wrote it expects a
// shell. The program's path is absolute. Nothing of a message enters a command.
//
// # Promises
//
// A file is accepted whole or refused with every mistake and its line. Reading
// takes linear time and memory; what is looked up is parsed again from the
// text, so that a million aliases cost little more than their file. The package
// does no I/O but in Check.
package aliases
