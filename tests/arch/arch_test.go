// Package arch guards the tree: who may import whom, who owns which third-party
// module, and that every package says what it is for. It reads the source; it
// runs nothing of it.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "filbert/"

// layers, lowest first. A package imports only from its own layer or below;
// services (the last) never import each other.
var layers = [][]string{
	{"durable", "wire", "privsep", "durable/crashfs", "clock", "tally"},
	{"untrusted", "queueid", "mailaddr", "smtp", "message", "envelope", "outcome", "pattern", "argv", "oldaddr"},
	{"rewrite", "route", "dsn", "retry", "quirk", "pace", "turns", "settings"},
	{"journal", "spool", "qindex", "ledger", "config", "resolve", "resolve/resolvetest", "lookup", "lookup/link", "event", "aliases", "cdb", "sqltable", "ldaptable", "redistable", "socketmap", "callout", "history"},
	{"tables"},
	{"proto", "standing"},
	{"ipc", "inquiry", "service", "service/admin", "service/servicetest"},
	{"smtpd", "pickup", "cleanup", "dispatch", "router", "smtpclient", "localdeliver", "bounce", "qmgr", "mtadb", "master", "mtactl", "smtpclient/smtptest"},
}

// owners are the only importers of a third-party module (tests aside).
var owners = map[string][]string{
	"github.com/pelletier/go-toml":   {"pkg/config"},
	"go.uber.org/zap":                {"pkg/event"},
	"github.com/miekg/dns":           {"pkg/resolve", "pkg/resolve/resolvetest", "tests/dnsd"},
	"golang.org/x/sys":               {"pkg/privsep", "pkg/durable", "pkg/ipc"},
	"golang.org/x/net":               {"pkg/mailaddr"},
	"github.com/landlock-lsm":        {"pkg/privsep"},
	"github.com/elastic/go-seccomp":  {"pkg/privsep"},
	"github.com/moby/sys/capability": {"pkg/privsep"},
	"github.com/spf13/cobra":         {"cmd/mtactl", "pkg/mtactl"},
	"github.com/cockroachdb/pebble":  {"pkg/mtadb"},
	"github.com/gaissmai/bart":       {"pkg/lookup"},
	"modernc.org/sqlite":             {"pkg/sqltable"},
	"github.com/jackc/pgx":           {"pkg/sqltable"},
	"github.com/go-sql-driver/mysql": {"pkg/sqltable"},
	"github.com/go-ldap/ldap":        {"pkg/ldaptable"},
	"github.com/redis/go-redis":      {"pkg/redistable"},
	"github.com/emersion/go-sasl":    {"pkg/smtpclient"},
	"github.com/xdg-go/scram":        {"pkg/smtpclient"},
}

type source struct {
	path string // relative to the root, with slashes
	dir  string
	file *ast.File
	fset *token.FileSet
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(filepath.Dir(dir))
}

// sources parses all Go files of the tree.
func sources(t *testing.T, mode parser.Mode) []source {
	t.Helper()
	top := root(t)
	var out []source
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != top || d.Name() == "testdata" || d.Name() == "run-instance") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, mode)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		out = append(out, source{rel, filepath.ToSlash(filepath.Dir(rel)), f, fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("found only %d Go files: is %s the root?", len(out), top)
	}
	return out
}

func isTest(path string) bool { return strings.HasSuffix(path, "_test.go") }

func imports(f *ast.File) []string {
	var out []string
	for _, im := range f.Imports {
		if p, err := strconv.Unquote(im.Path.Value); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func layerOf(dir string) int {
	name := strings.TrimPrefix(dir, "pkg/")
	for i, l := range layers {
		if slices.Contains(l, name) {
			return i
		}
	}
	return -1
}

func TestEveryPackageHasALayer(t *testing.T) {
	for _, s := range sources(t, parser.ImportsOnly) {
		if !strings.HasPrefix(s.dir, "pkg/") || strings.Contains(s.dir, "/internal/") {
			continue
		}
		if layerOf(s.dir) < 0 {
			t.Errorf("%s: give the package a layer in tests/arch", s.dir)
		}
	}
}

func TestImportsPointDownward(t *testing.T) {
	for _, s := range sources(t, parser.ImportsOnly) {
		from := layerOf(s.dir)
		if isTest(s.path) || from < 0 {
			continue
		}
		for _, im := range imports(s.file) {
			if !strings.HasPrefix(im, module+"pkg/") {
				continue
			}
			dir := strings.TrimPrefix(im, module)
			to := layerOf(dir)
			switch {
			case to > from:
				t.Errorf("%s imports %s, which is in a higher layer", s.path, dir)
			case to == from && from == len(layers)-1 && dir != s.dir && !strings.HasPrefix(dir, s.dir+"/"):
				t.Errorf("%s imports %s: services meet in pkg/proto", s.path, dir)
			}
		}
	}
}

func TestThirdPartyModulesHaveOneOwner(t *testing.T) {
	for _, s := range sources(t, parser.ImportsOnly) {
		if isTest(s.path) || strings.HasPrefix(s.dir, "contrib/tools") || strings.HasPrefix(s.dir, "tests/") {
			continue
		}
		for _, im := range imports(s.file) {
			if !strings.Contains(strings.SplitN(im, "/", 2)[0], ".") {
				continue // standard library, or ours
			}
			if !slices.Contains(ownersOf(im), s.dir) {
				t.Errorf("%s imports %s, which is for %v alone", s.path, im, ownersOf(im))
			}
		}
	}
}

func ownersOf(im string) []string {
	for prefix, who := range owners {
		if strings.HasPrefix(im, prefix) {
			return who
		}
	}
	return nil
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t, parser.ParseComments) {
		if isTest(s.path) {
			continue
		}
		documented[s.dir] = documented[s.dir] || s.file.Doc != nil && len(s.file.Doc.Text()) > 60
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: no package comment that says what it promises", dir)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, s := range sources(t, parser.ParseComments) {
		if isTest(s.path) || !strings.HasPrefix(s.dir, "pkg/") {
			continue
		}
		for _, d := range s.file.Decls {
			if name, pos, ok := undocumented(d); ok {
				t.Errorf("%s:%d: %s has no comment", s.path, s.fset.Position(pos).Line, name)
			}
		}
	}
}

func undocumented(d ast.Decl) (string, token.Pos, bool) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) && !obvious[d.Name.Name] {
			return d.Name.Name, d.Pos(), true
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			ts, ok := spec.(*ast.TypeSpec)
			if ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil {
				return ts.Name.Name, ts.Pos(), true
			}
		}
	}
	return "", 0, false
}

// obvious are methods of the standard library's interfaces: their names say it.
var obvious = map[string]bool{"Error": true, "Unwrap": true, "Len": true, "Less": true, "Swap": true, "Is": true}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	typ := d.Recv.List[0].Type
	if p, ok := typ.(*ast.StarExpr); ok {
		typ = p.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

func TestMainsAreSmall(t *testing.T) {
	for _, s := range sources(t, parser.SkipObjectResolution) {
		if s.file.Name.Name != "main" || isTest(s.path) || strings.HasPrefix(s.dir, "tests/") {
			continue
		}
		if n := s.fset.Position(s.file.End()).Line; n > 60 {
			t.Errorf("%s has %d lines: flags, configuration and Run are enough for a main", s.path, n)
		}
	}
}

func TestFunctionsAndFilesStayReadable(t *testing.T) {
	for _, s := range sources(t, parser.SkipObjectResolution) {
		generated := strings.HasPrefix(filepath.Base(s.path), "z")
		if isTest(s.path) || generated {
			continue
		}
		if n := s.fset.Position(s.file.End()).Line; n > 700 {
			t.Errorf("%s has %d lines", s.path, n)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line; n > 120 {
				t.Errorf("%s: %s has %d lines", s.path, f.Name.Name, n)
			}
		}
	}
}

// TestNoShell: nothing of ours runs a shell or builds a command line out of
// text.
func TestNoShell(t *testing.T) {
	shells := []string{`"sh"`, `"/bin/sh"`, `"bash"`, `"/bin/bash"`}
	for _, s := range sources(t, parser.SkipObjectResolution) {
		if isTest(s.path) || strings.HasPrefix(s.dir, "tests/") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if ok && slices.Contains(shells, lit.Value) {
				t.Errorf("%s:%d: a shell", s.path, s.fset.Position(lit.Pos()).Line)
			}
			return true
		})
	}
}

// TestNoSetupAtImport: a package does nothing before it is asked to.
func TestNoSetupAtImport(t *testing.T) {
	for _, s := range sources(t, parser.SkipObjectResolution) {
		if isTest(s.path) {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s:%d: func init", s.path, s.fset.Position(f.Pos()).Line)
			}
		}
	}
}

// encoders are the only places where untrusted text leaves unchanged: those that
// count its length, and parsers that look at every byte of it.
var encoders = []string{
	"pkg/untrusted", "pkg/envelope", "pkg/outcome", "pkg/spool", "pkg/mailaddr", "pkg/queueid", "pkg/smtp", "pkg/proto",
	"pkg/smtpclient/commands.go", // into xtext
	"pkg/smtpclient/open.go",     // compared with our own name
	"pkg/smtpclient/observe.go",  // keywords, each letter looked at
	"pkg/smtpclient/sasl.go",     // out of base64; compared with our own password
	"pkg/router/forwardfile.go",  // taken apart by pkg/aliases
	"pkg/router/consult.go",      // a verb and addresses; what people see of it is converted
	"pkg/pickup/header.go",       // compared with field names
	"pkg/pickup/dialogue.go",     // qualified, then parsed
	"pkg/pickup/drain.go",        // into the envelope of a Submission
	"pkg/retry/record.go",        // a record of mtadb
	"pkg/quirk/seen.go",          // likewise
	"pkg/callout/record.go",      // likewise
}

// TestUntrustedTextLeavesByItsConversions: P16.1. Text of a peer reaches a log
// line, a header, a path or a command only through the conversion of that name.
func TestUntrustedTextLeavesByItsConversions(t *testing.T) {
	for _, s := range sources(t, parser.SkipObjectResolution) {
		if isTest(s.path) || slices.Contains(encoders, s.dir) || slices.Contains(encoders, s.path) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if ok && sel.Sel.Name == "ForWire" {
				t.Errorf("%s:%d: ForWire is for encoders and parsers; use ForLog, ForReply, ForHeader, ForPath ...",
					s.path, s.fset.Position(sel.Pos()).Line)
			}
			return true
		})
	}
}
