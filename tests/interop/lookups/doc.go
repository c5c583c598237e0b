// Package lookups tests the tables on servers with the servers that others
// wrote: OpenLDAP, PostgreSQL, MariaDB and Redis, as Debian has them.
//
// Each test starts a server of its own from what tests/interop/install.sh has
// unpacked, as an unprivileged user, with its data in a temporary directory, on
// loopback and a Unix socket; fills it, asks it, ends it and starts it again, and
// asks it from a process that is confined as router is. Nothing of a server that
// the machine runs is read, used or touched; processes are ended by their ids.
//
// The tests need root, to become that user, and `make interop`.
package lookups
