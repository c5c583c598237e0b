// Package localdeliver is the program local-deliver: the small root part of the
// suite. It puts messages into mailboxes and hands them to commands, each as the
// user that it is for.
//
// It promises dispatch an outcome for every job: delivered means that the
// message is on stable storage under its final name, or that the command took it
// with exit status 0. It promises router what stands in a user's forward file, and
// what the program of a director or router says, or why nobody can tell. It
// promises every user that no other user's file is touched on his account, and
// that nothing but a program running as him touches his.
//
// # Two processes
//
// The parent is root in a separated instance. It decodes a job, decides from the
// configuration and the password file which user acts, and gives the job to a
// child. It opens no mailbox, expands no path, reads no line of the message.
//
// The child is that user: uid, gid, groups, an environment of its own,
// no_new_privs, descriptors 0, 1 and 2 on /dev/null and one socket to the parent.
// It parses, locks, writes and runs. One child serves a burst of jobs of the same
// user and ends when it has been idle for a second. In an unprivileged instance the
// child is the caller and all else is the same.
//
// The user can trace a process of his own, so the child is as trustworthy as he
// is: what it answers is decoded like any stranger's text, and it never gets a
// descriptor of the spool (where a record of somebody else could be read at
// another offset), but a pipe with the bytes of this one message.
//
// # Who asks
//
// dispatch has mail delivered, and nothing else; router asks about forward files
// and programs, and nothing else. Which file or program that is, the parent takes
// from its own settings by the name of the director or router, and the account from
// the password file: the question only says about whom. Children that answer router
// are others than those that deliver, as many at most (limits.local_children), so
// that a slow program holds up no mail. One that does not answer in time is killed;
// where not even that ends it, because a file server is away, limits.per_user such
// children are all that its user gets until they end.
//
// # Forward files
//
// A forward file may send the user's mail elsewhere and run commands as him, so it
// is used only if he alone can have written it: a regular file with one name, not a
// symbolic link, his own, closed to the writing of group and others, in directories
// that are so from his home on, and at most proto.MaxForward octets. Everything else is
// trouble, which defers; so is a home that is absent, as file servers go away and
// come back. An absent file is none. What it includes is read as the user too, as
// deep as a list in a list, and may be anybody's; only what everybody may write to is
// refused, and what is no regular file. Nothing is read for an account of uid 0,
// whose mail is postmaster's.
//
// # Programs of directors and routers
//
// They run as the user that the director or router names, or nobody, without a
// shell, in the root directory, with PATH, HOME, USER and LOGNAME and no input.
// What the address brings stands within single arguments and is never an option:
// where it would be one, the answer is "fail" without the program. Its process
// group ends with it.
//
// # Drivers
//
// maildir writes to tmp, flushes, renames to new and flushes new. mbox appends
// under a dot lock and an fcntl lock, quotes lines that look like a "From " line by
// one more ">" and truncates what it could not finish. pipe runs a command without a
// shell. On disk and for commands lines end in LF, the CRLF of the wire is
// converted; nothing else of the message is changed but what the configuration says.
// Return-Path and Delivered-To are added in front (RFC 5321, section 4.4).
//
// The header is changed in the child, in the order in which the mail meets it: what
// directors and routers edit, then the rewriting rules of the transport, the
// sender's address with it, then the fields that the transport removes and adds. A
// header that is longer than what is read ahead gets its new fields in front, and
// loses what was read.
//
// A pipe that returns a report delivers nothing: with status 0 the mail fails with
// 5.1.1 and the command's words are in the report, with any other it is deferred.
//
// # Mailboxes without room
//
// A transport may limit size and messages of each mailbox; the child keeps to it,
// as the user (limit.go: what it means; account.go, tally.go, count.go: a Maildir).
// It warns the user by a message of its own. A user can make the count say what he
// likes, for his own mailbox: against users who want to fill the disk there are the
// quotas of the system.
//
// What is over a limit or a quota of the system is deferred or returned as the
// transport says, by when the mailbox was last read if it wants so. All other errors of
// the file system defer, each with a kind and code of its own (outcome.go).
//
// With --measure the program tells mtactl, which runs it as a user, about the
// mailboxes of that user.
//
// # Refusals
//
// Mail is never delivered as uid 0, nor in the group 0: a user must be named for it.
// A group other than the account's must stand in the settings beside that user, or
// beside none. A mailbox that is
// a symbolic link, has a second name, is not a regular file or belongs to
// somebody else is not written. A home directory that others may write to is not
// used unless the transport allows it. All of these defer, so that nothing is lost
// while somebody repairs them. A message that this very address got before (the
// same Delivered-To) fails with 5.4.6 (RFC 5321, section 6.3).
//
// # What a crash leaves
//
// Maildir: at most a file in tmp, which mail readers remove when it is 36 hours
// old, or a message delivered without an answer, which comes again. A child whose
// parent has gone puts nothing more into a mailbox. mbox: a power cut or the end of
// the child in the middle of an append may leave a part of a message at the end; the
// next append starts on a line of its own. A tally of a Maildir may lack the message
// that was just delivered, or have lost a line, until it is counted again; a warning
// that was about to be written is not written for as long as warn_every says. A dot
// lock of a dead process is removed
// when it is staleLock old.
//
// # Security
//
// dispatch may ask for any command or file as any user but root: the alias
// directors decide that, and they run in router. What the caller cannot do is
// choose the user of a transport that names one, become root, be in a group that no
// setting gives, or read the spool through a child. What router may ask is no more
// than what the settings say it asks: it learns what stands in forward files, and
// has the programs of directors and routers run, with arguments of its choice.
package localdeliver
