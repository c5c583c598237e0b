package config

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"sort"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write generated files and expected outputs anew")

// TestGeneratedFilesAreUpToDate holds the documentation table, the sample file
// and the manual page against the comments in pkg/settings; with -update it writes them.
func TestGeneratedFilesAreUpToDate(t *testing.T) {
	if *update {
		compareFile(t, "zdoc.go", docTable(t))
		// The sample is made from the table that is compiled in: the second
		// run of `go generate` sees the new one. `make generate` runs it twice.
	}
	compareFile(t, "zdoc.go", docTable(t))
	compareFile(t, "../../etc/filbert.toml.sample", []byte(Sample()))
	compareFile(t, "../../doc/man/filbert.toml.5", []byte(manPage()))
}

func compareFile(t *testing.T, name string, want []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the settings' comments say: run `make generate` (%v)", name, err)
	}
}

// docTable reads the comments of pkg/settings' structs and their fields.
func docTable(t *testing.T) []byte {
	t.Helper()
	table := map[string]string{}
	files, err := filepath.Glob("../settings/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.TYPE {
				continue
			}
			for _, spec := range gen.Specs {
				ts := spec.(*ast.TypeSpec)
				if st, ok := ts.Type.(*ast.StructType); ok && ts.Name.Name != "Instance" {
					structDocs(table, ts.Name.Name, gen.Doc, st)
				}
			}
		}
	}
	return renderTable(t, table)
}

func structDocs(table map[string]string, name string, doc *ast.CommentGroup, st *ast.StructType) {
	keys := map[string]string{} // Go name -> TOML key
	for _, f := range st.Fields.List {
		for _, n := range f.Names {
			if tag := tomlTag(f); tag != "" {
				keys[n.Name] = tag
			}
		}
	}
	table[name] = inTOML(plain(doc), keys)
	for _, f := range st.Fields.List {
		for _, n := range f.Names {
			if text := plain(f.Doc); keys[n.Name] != "" && text != "" {
				table[name+"."+n.Name] = inTOML(text, keys)
			}
		}
	}
	// "X: see Y." has the words of Y.
	for _, n := range sortedKeys(keys) {
		key := name + "." + n
		m := regexp.MustCompile(`^\w+: see (\w+)\.$`).FindStringSubmatch(table[key])
		if m == nil {
			continue
		}
		for other, tag := range keys {
			if tag == m[1] {
				table[key] = table[name+"."+other]
			}
		}
	}
}

func tomlTag(f *ast.Field) string {
	if f.Tag == nil {
		return ""
	}
	tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("toml")
	if tag == "-" {
		return ""
	}
	return tag
}

func plain(doc *ast.CommentGroup) string {
	return strings.Join(strings.Fields(doc.Text()), " ")
}

var goName = regexp.MustCompile(`\b[A-Z]\w*\b`)

// inTOML writes the Go names of a struct's fields as its TOML keys.
func inTOML(text string, keys map[string]string) string {
	return goName.ReplaceAllStringFunc(text, func(w string) string {
		if tag, ok := keys[w]; ok {
			return tag
		}
		return w
	})
}

func renderTable(t *testing.T, table map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("// Code generated from the comments in pkg/settings; DO NOT EDIT.\n\npackage config\n\n")
	b.WriteString("// docs has the comment of each struct and field of pkg/settings.\n")
	b.WriteString("var docs = map[string]string{\n")
	names := make([]string, 0, len(table))
	for n := range table {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		fmt.Fprintf(&b, "\t%q: %q,\n", n, table[n])
	}
	b.WriteString("}\n")
	out, err := format.Source(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEverySettingIsDocumented(t *testing.T) {
	for _, d := range Docs() {
		if d.Text == "" {
			t.Errorf("%s has no comment in pkg/settings", d.Key)
		}
		if !d.IsTable() && sampleValue(d) == `""` && d.Type != "text" {
			t.Errorf("%s has no default and no example for the sample file", d.Key)
		}
	}
}

func TestExamplesNameSettings(t *testing.T) {
	keys := map[string]bool{}
	for _, d := range Docs() {
		keys[d.Key] = true
	}
	for key := range examples {
		if !keys[key] {
			t.Errorf("the sample has an example for %s, which does not exist", key)
		}
	}
}
