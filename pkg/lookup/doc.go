// Package lookup holds tables that people keep in text files: the password
// file, a table of virtual users, a table of hosts by domain; and File, which
// keeps whatever was made of a file true to it.
//
// It promises that a file is taken whole or not at all: a new version with a
// mistake in it, one that is being written at the moment, or one that has gone
// leaves the old content in force and is told once, with the line. Only a file
// that could not be read since the start, or since somebody asked for a reload,
// is an error of the lookup, and that error is temporary: what is not known
// may still be there.
//
// It reads regular files only, of bounded size, and never waits on a pipe or a
// device that stands where a file was. Parsers are strict, and report every
// mistake, not only the first. The password file is the exception: it is not
// ours, so that lines that we do not understand are other programs' business
// and are skipped.
//
// It refuses to write. A crash leaves nothing behind.
package lookup
