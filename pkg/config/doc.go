// Package config reads the administrator's TOML into pkg/settings and checks
// it, for master (start and reload) and mtactl. No other program links it:
// they receive what it made.
//
// # Promises
//
// Load reads filbert.toml and then conf.d/*.toml in the order of their names,
// as if they were one file: lists of tables ([[listen]], [[director]], ...)
// continue each other, and one value is set in one place only. An empty file
// is a whole configuration. What Load returns without an error is complete
// and consistent: every default is filled in, every pattern and expression
// compiles, every name that refers to something refers to something that is
// there, file names are absolute.
//
// Every mistake is reported in one go, each with file, line and column, what
// is wrong, and what to write instead. An unknown key is a mistake and is told
// with the nearest right spelling, or where the key would belong.
//
// # Defaults that depend on the instance
//
// The installed instance listens on 127.0.0.1:25 when no [[listen]] is
// written; a private one listens nowhere, because many may run on a machine.
// The hostname is that of the machine. Local domains are the hostname and
// localhost.
//
// # Refusals
//
// Load looks at the text alone. Whether users exist, files are readable and
// ports can be bound is for Check, which needs the machine. Files over
// maxFileSize are not read. There is no state; a crash leaves nothing.
package config

//go:generate go test -run TestGeneratedFilesAreUpToDate -update .
