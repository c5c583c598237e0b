package arch

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

//go:generate go test -run Page -update .

var update = flag.Bool("update", false, "write the generated pages of doc/ anew")

const notice = "<!-- Generated from the source by `make generate`; a test keeps it true. -->\n\n"

// page compares a generated page with the file, or writes it.
func page(t *testing.T, name string, text []byte) {
	t.Helper()
	path := filepath.Join(root(t), "doc", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, text) {
		t.Errorf("doc/%s is not what the source says: run `make generate`", name)
	}
}

// TestProtocolsPage: every arrow is one file of pkg/proto; the page is its
// comments and its messages.
func TestProtocolsPage(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("# The protocols between Filbert's programs\n\n" + notice)
	for _, s := range sources(t, parser.ParseComments) {
		if s.dir != "pkg/proto" || isTest(s.path) {
			continue
		}
		if filepath.Base(s.path) == "doc.go" {
			fmt.Fprintf(&b, "%s\n", s.file.Doc.Text())
			continue
		}
		fmt.Fprintf(&b, "## %s\n\n", s.path)
		writeDialogue(&b, s)
		writeMessages(t, &b, s)
	}
	page(t, "PROTOCOLS.md", b.Bytes())
}

// writeDialogue copies the comments that stand by themselves at the top level.
func writeDialogue(b *bytes.Buffer, s source) {
	attached := map[*ast.CommentGroup]bool{s.file.Doc: true}
	var bodies [][2]token.Pos
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			attached[d.Doc] = true
		case *ast.GenDecl:
			attached[d.Doc] = true
		}
		bodies = append(bodies, [2]token.Pos{d.Pos(), d.End()})
	}
	for _, g := range s.file.Comments {
		inside := slices.ContainsFunc(bodies, func(r [2]token.Pos) bool { return g.Pos() > r[0] && g.End() <= r[1] })
		if attached[g] || inside {
			continue
		}
		fmt.Fprintf(b, "```\n%s```\n\n", g.Text())
	}
}

// writeMessages prints the declared types and constants as they stand.
func writeMessages(t *testing.T, b *bytes.Buffer, s source) {
	src, err := os.ReadFile(filepath.Join(root(t), s.path))
	if err != nil {
		t.Fatal(err)
	}
	var code bytes.Buffer
	for _, d := range s.file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok == token.IMPORT || g.Tok == token.VAR {
			continue
		}
		from := g.Pos()
		if g.Doc != nil {
			from = g.Doc.Pos()
		}
		code.Write(src[s.fset.Position(from).Offset:s.fset.Position(g.End()).Offset])
		code.WriteString("\n\n")
	}
	text, err := format.Source(bytes.TrimSpace(code.Bytes()))
	if err != nil {
		text = code.Bytes()
	}
	fmt.Fprintf(b, "```go\n%s\n```\n\n", bytes.TrimSpace(text))
}

var rfcCite = regexp.MustCompile(`RFC (\d{3,5})(?:,\s+sections? ([0-9]+(?:\.[0-9]+)*))?`)

// TestRFCPage indexes every citation, code beside tests.
func TestRFCPage(t *testing.T) {
	type key struct {
		rfc     int
		section string
	}
	places := map[key][2]map[string]bool{}
	for _, s := range sources(t, parser.ParseComments) {
		if strings.HasPrefix(s.path, "tests/arch/") {
			continue
		}
		kind := 0
		if isTest(s.path) || strings.HasPrefix(s.dir, "tests/") {
			kind = 1
		}
		for _, g := range s.file.Comments {
			text := strings.Join(strings.Fields(g.Text()), " ")
			for _, m := range rfcCite.FindAllStringSubmatch(text, -1) {
				n, err := strconv.Atoi(m[1])
				if err != nil {
					t.Fatal(err)
				}
				k := key{n, m[2]}
				if places[k][0] == nil {
					places[k] = [2]map[string]bool{{}, {}}
				}
				places[k][kind][s.path] = true
			}
		}
	}
	keys := slices.SortedFunc(maps.Keys(places), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.rfc, b.rfc), compareSections(a.section, b.section))
	})
	var b bytes.Buffer
	b.WriteString("# Standards, and where they are kept\n\n" + notice)
	b.WriteString("Every citation in the source, `RFC 5321, section 4.5.3.2`, by standard and section.\n\n")
	b.WriteString("| standard | code | tests |\n|---|---|---|\n")
	for _, k := range keys {
		name := fmt.Sprintf("RFC %d", k.rfc)
		if k.section != "" {
			name += ", " + k.section
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, list(places[k][0]), list(places[k][1]))
	}
	page(t, "RFC.md", b.Bytes())
}

func list(set map[string]bool) string {
	return strings.Join(slices.Sorted(maps.Keys(set)), " ")
}

func compareSections(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	return slices.CompareFunc(as, bs, func(x, y string) int {
		n, _ := strconv.Atoi(x)
		m, _ := strconv.Atoi(y)
		return cmp.Compare(n, m)
	})
}

// TestLogPage documents each event: its verb, who emits it, its keys in order.
func TestLogPage(t *testing.T) {
	docs, verbs, keys := map[string]string{}, map[string]string{}, map[string][]string{}
	for _, s := range sources(t, parser.ParseComments) {
		if s.dir != "pkg/event" || isTest(s.path) {
			continue
		}
		for _, d := range s.file.Decls {
			noteEvent(d, docs, verbs, keys)
		}
	}
	var b bytes.Buffer
	b.WriteString("# The log, key by key\n\n" + notice)
	b.WriteString("A line is `time id verb key=value ... by=service`. The id is the message's queue id, or `-`. " +
		"Keys with nothing to say are left out. A value with spaces or odd characters is quoted. " +
		"With `log.format = \"json\"` the same keys are a JSON object a line (`t`, `id`, `ev`, `by`); " +
		"`took` and `age` are milliseconds.\n\n")
	for _, name := range slices.Sorted(maps.Keys(verbs)) {
		fmt.Fprintf(&b, "## %s\n\n%s\n\n", verbs[name], strings.TrimSpace(docs[name]))
		if len(keys[name]) > 0 {
			fmt.Fprintf(&b, "Keys: `%s`\n\n", strings.Join(keys[name], "` `"))
		}
	}
	if len(verbs) < 10 {
		t.Fatalf("found only %d events", len(verbs))
	}
	page(t, "LOG.md", b.Bytes())
}

func noteEvent(d ast.Decl, docs, verbs map[string]string, keys map[string][]string) {
	switch d := d.(type) {
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if ts, ok := spec.(*ast.TypeSpec); ok {
				docs[ts.Name.Name] = d.Doc.Text()
			}
		}
	case *ast.FuncDecl:
		if d.Recv == nil || len(d.Recv.List) == 0 {
			return
		}
		id, ok := d.Recv.List[0].Type.(*ast.Ident)
		if !ok {
			return
		}
		switch d.Name.Name {
		case "Verb":
			verbs[id.Name] = verbOf(d)
		case "Fields":
			keys[id.Name] = keysOf(d)
		}
	}
}

func verbOf(d *ast.FuncDecl) string {
	verb := ""
	ast.Inspect(d.Body, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok {
			verb, _ = strconv.Unquote(lit.Value)
		}
		return true
	})
	if verb != "" {
		return verb
	}
	// The verb is computed: the comment names what it may be.
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(d.Doc.Text()), "Verb is "), ".")
}

func keysOf(d *ast.FuncDecl) []string {
	var out []string
	ast.Inspect(d.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) < 2 {
			return true
		}
		if lit, ok := call.Args[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			key, _ := strconv.Unquote(lit.Value)
			out = append(out, key)
		}
		return true
	})
	return out
}

// TestSpoolPage: what is on disk is told by the packages that write it.
func TestSpoolPage(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("# What is on disk\n\n" + notice)
	for _, name := range []string{"pkg/spool/doc.go", "pkg/journal/doc.go", "pkg/ledger/ledger.go"} {
		for _, s := range sources(t, parser.ParseComments) {
			if s.path == name {
				fmt.Fprintf(&b, "## %s\n\n```\n%s```\n\n", s.dir, s.file.Doc.Text())
			}
		}
	}
	page(t, "SPOOL.md", b.Bytes())
}
