// Package sqltable asks SQL databases for the values of a key: SQLite files,
// PostgreSQL, and MySQL or MariaDB.
//
// It promises the caller, router, that a key is never part of the language: what
// {key}, {local_part} and {domain} stand for in a query is bound as a parameter,
// whatever strangers wrote. A place inside quotes can't be bound and is an error
// when the table is opened.
//
// Each row gives one value: its columns that are not NULL, separated by a blank.
// A row whose first column is NULL gives none, but the key is there: an account
// without an address, say. No row: not found. Everything else, from a wrong
// password to a value that is not UTF-8, is an error, and temporary.
//
// Open connects to nobody. Servers are tried in order, and one that failed is
// asked last for a while; connections are kept, bounded in number, and replaced
// when they break, with a question that was lost on an old one asked once more.
// Time, rows and octets are bounded.
//
// A SQLite file is opened read only, and anew when another one has been put in
// its place. A database in WAL mode needs a directory that can be written, or a
// writer at work; the error says what to do.
//
// # Security
//
// Certificates are verified whenever tls is not "off"; both ways to write it
// mean TLS as the protocol begins it, and a server without it is refused. No
// environment variable, ~/.pgpass, service file or option file is obeyed, and
// nothing is logged by the libraries. Over a connection without TLS a password
// is only as safe as the network.
//
// A crash leaves nothing.
package sqltable
