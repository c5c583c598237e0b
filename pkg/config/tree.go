package config

import (
	"bytes"
	"errors"
	"sort"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// node is a value of a TOML document with its place. go-toml's own decoder
// stops at the first value of a wrong type and forgets where values came from;
// the tree is what lets us report all of them, and show sources.
type node struct {
	pos  Pos           // of the value
	key  Pos           // of the key that it was set with
	kind unstable.Kind // Table, InlineTable, ArrayTable, Array, or a scalar's
	// text is a string's value, or another scalar as it was written.
	text string
	keys []string         // of a table, in order
	kids map[string]*node // of a table
	list []*node          // of an array
}

func (n *node) isTable() bool {
	return n.kind == unstable.Table || n.kind == unstable.InlineTable
}

// child is the value of key, made as a table if there is none.
func (n *node) child(key string, kind unstable.Kind, pos Pos) *node {
	if c, ok := n.kids[key]; ok {
		return c
	}
	c := newTable(kind, pos)
	n.set(key, c)
	return c
}

func (n *node) set(key string, c *node) {
	if _, ok := n.kids[key]; !ok {
		n.keys = append(n.keys, key)
	}
	n.kids[key] = c
}

// inner is the table that further keys go into: of [[x]] the last one.
func (n *node) inner() *node {
	if n.kind == unstable.ArrayTable && len(n.list) > 0 {
		return n.list[len(n.list)-1]
	}
	return n
}

func newTable(kind unstable.Kind, pos Pos) *node {
	return &node{kind: kind, pos: pos, key: pos, kids: map[string]*node{}}
}

// document is one file while it is being read.
type document struct {
	name  string
	data  []byte
	lines []int // offsets of line starts
	p     unstable.Parser
}

// parseTree reads a document. The error, if any, is a Problem: after a syntax
// error the rest of a file cannot be understood, so there is only one.
func parseTree(name string, data []byte) (*node, *Problem) {
	// The decoder knows TOML's rules about repeated keys and tables, the
	// parser below only its grammar.
	var all map[string]any
	if err := toml.Unmarshal(data, &all); err != nil {
		return nil, syntaxProblem(name, err)
	}
	d := &document{name: name, data: data, lines: []int{0}}
	for i, c := range data {
		if c == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	d.p.Reset(data)
	root := newTable(unstable.Table, Pos{File: name})
	into := root
	for d.p.NextExpression() {
		e := d.p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			into = d.header(root, e)
		case unstable.KeyValue:
			d.keyValue(into, e)
		}
	}
	if err := d.p.Error(); err != nil {
		return nil, &Problem{Mistake, Pos{File: name}, "", err.Error(), ""}
	}
	return root, nil
}

func syntaxProblem(name string, err error) *Problem {
	p := &Problem{Severity: Mistake, Pos: Pos{File: name}, What: strings.TrimPrefix(err.Error(), "toml: ")}
	var de *toml.DecodeError
	if errors.As(err, &de) {
		p.Pos.Line, p.Pos.Col = de.Position()
	}
	p.What = "not valid TOML: " + p.What
	p.Hint = "text stands in quotes, lists in [ ], and each setting on a line of its own: key = \"value\""
	return p
}

// header goes to the table that [a.b] or [[a.b]] opens.
func (d *document) header(root *node, e *unstable.Node) *node {
	n := root
	for it := e.Key(); it.Next(); {
		key := it.Node()
		pos := d.pos(key)
		switch {
		case !it.IsLast():
			n = n.child(string(key.Data), unstable.Table, pos).inner()
		case e.Kind == unstable.ArrayTable:
			a := n.child(string(key.Data), unstable.ArrayTable, pos)
			t := newTable(unstable.Table, pos)
			a.list = append(a.list, t)
			n = t
		default:
			n = n.child(string(key.Data), unstable.Table, pos).inner()
		}
	}
	return n
}

func (d *document) keyValue(into *node, e *unstable.Node) {
	n := into
	for it := e.Key(); it.Next(); {
		key := it.Node()
		if it.IsLast() {
			v := d.value(e.Value(), d.pos(key))
			v.key = d.pos(key)
			n.set(string(key.Data), v)
			return
		}
		n = n.child(string(key.Data), unstable.Table, d.pos(key)).inner()
	}
}

// value builds a node; at is the place of its key, for values that the parser
// gives no place.
func (d *document) value(v *unstable.Node, at Pos) *node {
	if v.Raw.Length > 0 {
		at = d.pos(v)
	}
	n := &node{kind: v.Kind, pos: at, text: string(v.Data)}
	switch v.Kind {
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			n.list = append(n.list, d.value(it.Node(), at))
		}
	case unstable.InlineTable:
		n.kids = map[string]*node{}
		for it := v.Children(); it.Next(); {
			d.keyValue(n, it.Node())
		}
	}
	return n
}

func (d *document) pos(n *unstable.Node) Pos {
	off := int(n.Raw.Offset)
	line := sort.Search(len(d.lines), func(i int) bool { return d.lines[i] > off })
	start := d.lines[line-1]
	// Columns count characters, as editors do.
	col := len(bytes.Runes(d.data[start:off])) + 1
	return Pos{File: d.name, Line: line, Col: col}
}
