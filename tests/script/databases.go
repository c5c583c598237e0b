package script

import (
	"database/sql"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"filbert/pkg/cdb"
	_ "filbert/pkg/sqltable" // has the driver of SQLite
)

// makeCDB makes a constant database of lines "key value", as cdbmake would: a
// new file in the place of the old one.
func makeCDB(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "make-cdb LINES FILE")
	w, err := cdb.Create(ts.MkAbs(args[1]), 0o600)
	ts.Check(err)
	for line := range strings.Lines(read(ts, args[0])) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		ts.Check(w.Add([]byte(key), []byte(value)))
	}
	ts.Check(w.Commit())
}

// makeSQLite runs the statements of a file on a database, which is made if it is
// not there.
func makeSQLite(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "make-sqlite STATEMENTS FILE")
	path := ts.MkAbs(args[1])
	db, err := sql.Open("sqlite", "file:"+path)
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec(read(ts, args[0]))
	ts.Check(err)
	_, err = os.Stat(path)
	ts.Check(err)
}
