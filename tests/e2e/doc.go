// Package e2e holds the suite to what it promises, with real processes: each
// file under testdata is one claim, told by its name. See tests/script for the
// language.
//
// The scripts need no root and nothing but Go. They build the programs unless
// FILBERT_BIN names a directory that has them (with libexec below it). One
// alone: go test ./tests/e2e -run E2E/NAME
package e2e
