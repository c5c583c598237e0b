// Package lookup is the one interface of all tables (Table): a key has values, or
// is not there, or that can't be told at the moment. It has the tables that need
// no server, and what the drivers of servers have in common (Servers, Question,
// Pool, Failover); they themselves are packages of their own.
//
// The tables that people keep in text files are: keys and values (Text), regular
// expressions (Regexps), networks (Networks), the password file (Passwd), virtual
// users (Users), and hosts by domain (Hosts). File keeps whatever was made of a
// file true to it.
//
// It promises that "not found" is never said when something failed: without a
// version in force, a file's table has an error for each key. A key has one form
// (Key), whatever its spelling there and here.
//
// It promises that a file is taken whole or not at all: a new version with a
// mistake in it, one that is being written at the moment, or one that has gone
// leaves the old content in force and is told once, with the line. Only a file
// that could not be read since the start, or since somebody asked for a reload,
// is an error of the lookup, and that error is temporary: what is not known
// may still be there.
//
// A file of a million keys costs its own size and some eight octets a line: the
// text is kept, and a table of places in it, no map of strings.
//
// It reads regular files only, of bounded size, and never waits on a pipe or a
// device that stands where a file was. Parsers are strict, and report every
// mistake, not only the first. The password file is the exception: it is not
// ours, so that lines that we do not understand are other programs' business
// and are skipped.
//
// It refuses to write. A crash leaves nothing behind.
package lookup
