package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"filbert/pkg/settings"
)

// decoder puts trees into Settings and remembers where each value came from.
type decoder struct {
	*report
	sources Sources
}

// table decodes n into the struct v.
func (d *decoder) table(n *node, v reflect.Value, path string) {
	for _, key := range n.keys {
		kid := n.kids[key]
		f, ok := fieldByKey(v.Type(), key)
		if !ok {
			d.unknownKey(v.Type(), kid, path, key)
			continue
		}
		d.value(kid, v.FieldByIndex(f.Index), join(path, key))
	}
}

func (d *decoder) value(n *node, v reflect.Value, path string) {
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer: // what makes a difference when it is not set
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), path)
	case reflect.Struct:
		if !n.isTable() {
			d.wrongType(n, path, "a table", fmt.Sprintf("write [%s] on a line of its own and the settings below it", path))
			return
		}
		d.table(n, v, path)
	case reflect.Map:
		d.mapValue(n, v, path)
	case reflect.Slice:
		d.slice(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) mapValue(n *node, v reflect.Value, path string) {
	if !n.isTable() {
		d.wrongType(n, path, "a table", fmt.Sprintf("write [%s.NAME] on a line of its own", path))
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	if _, ok := d.sources[path]; !ok {
		d.sources[path] = n.pos
	}
	for _, key := range n.keys {
		kid := n.kids[key]
		at := join(path, key)
		elem := reflect.New(v.Type().Elem()).Elem()
		if old := v.MapIndex(reflect.ValueOf(key)); old.IsValid() {
			elem.Set(old)
		}
		if t, ok := elem.Addr().Interface().(*settings.Transport); ok {
			d.startTransport(t, kid, key, at)
		}
		d.value(kid, elem, at)
		d.sources[at] = kid.pos
		v.SetMapIndex(reflect.ValueOf(key), elem)
	}
}

// startTransport lets [transport.maildir] change what it names of the built-in
// transport of that name; with another driver it is a new one.
func (d *decoder) startTransport(t *settings.Transport, n *node, name, at string) {
	builtin, ok := settings.DefaultTransports()[name]
	if _, seen := d.sources[at]; !ok || seen || !n.isTable() {
		return
	}
	if driver, ok := n.kids["driver"]; !ok || driver.text == builtin.Driver {
		*t = builtin
	}
}

func (d *decoder) slice(n *node, v reflect.Value, path string) {
	elem := v.Type().Elem()
	ofTables := elem.Kind() == reflect.Struct
	switch {
	case n.kind == unstable.ArrayTable && ofTables, n.kind == unstable.Array:
	case n.kind == unstable.String && elem.Kind() == reflect.String:
		n = &node{kind: unstable.Array, pos: n.pos, key: n.key, list: []*node{n}} // one alone
	case ofTables:
		d.wrongType(n, path, "a list of tables", fmt.Sprintf("write [[%s]] with two brackets", path))
		return
	default:
		d.wrongType(n, path, "a list", `write ["...", "..."]`)
		return
	}
	if !ofTables && !d.first(n, path) {
		return
	}
	if !ofTables {
		v.Set(reflect.MakeSlice(v.Type(), 0, len(n.list)))
	} else if _, seen := d.sources[path]; !seen && n.kind == unstable.Array {
		d.sources[path] = n.pos
	}
	for _, kid := range n.list {
		at := fmt.Sprintf("%s[%d]", path, v.Len())
		e := reflect.New(elem).Elem()
		d.value(kid, e, at)
		d.sources[at] = kid.pos
		v.Set(reflect.Append(v, e))
	}
}

// text decodes a Duration or a Size.
func (d *decoder) text(n *node, v reflect.Value, path string) {
	_, isSize := v.Addr().Interface().(*settings.Size)
	example := `"15m" or "4 days"`
	if isSize {
		example = `"50 MB"`
	}
	if n.kind != unstable.String && (!isSize || n.kind != unstable.Integer) {
		hint := "write it in quotes with its unit, like " + example
		if n.kind == unstable.Integer {
			hint = fmt.Sprintf("write it in quotes with its unit, like \"%ss\" for seconds", n.text)
		}
		d.wrongType(n, path, "text with a unit", hint)
		return
	}
	if !d.first(n, path) {
		return
	}
	text := strings.ReplaceAll(n.text, "_", "")
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
		d.mistake(n.pos, path, err.Error(), "write it like "+example)
	}
}

func (d *decoder) scalar(n *node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.String:
		if n.kind != unstable.String {
			d.wrongType(n, path, "text", fmt.Sprintf("write it in quotes: %q", n.text))
			return
		}
		v.SetString(n.text)
	case reflect.Bool:
		if n.kind != unstable.Bool {
			d.wrongType(n, path, "true or false", "write true or false without quotes")
			return
		}
		v.SetBool(n.text == "true")
	case reflect.Int:
		i, err := strconv.ParseInt(n.text, 0, 32)
		if n.kind != unstable.Integer || err != nil {
			d.wrongType(n, path, "a whole number", "write a number without quotes and unit")
			return
		}
		v.SetInt(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(strings.ReplaceAll(n.text, "_", ""), 64)
		if n.kind != unstable.Integer && n.kind != unstable.Float || err != nil {
			d.wrongType(n, path, "a number", "write a number without quotes, like 1.5")
			return
		}
		v.SetFloat(f)
	default:
		panic(fmt.Sprintf("config: settings has a field of type %s at %s, which the decoder does not know", v.Type(), path))
	}
	d.first(n, path)
}

// first notes where a value was set. Within one file TOML itself refuses a
// second time; two files are ours to compare.
func (d *decoder) first(n *node, path string) bool {
	if old, ok := d.sources[path]; ok {
		d.mistake(n.pos, path, fmt.Sprintf("is set a second time; the first is at %s", old), "remove one of the two")
		return false
	}
	d.sources[path] = n.pos
	return true
}

func (d *decoder) wrongType(n *node, path, want, hint string) {
	d.mistake(n.pos, path, fmt.Sprintf("is %s where %s is wanted", kindName(n), want), hint)
}

func kindName(n *node) string {
	switch n.kind {
	case unstable.String:
		return "text"
	case unstable.Integer:
		return "a whole number"
	case unstable.Float:
		return "a number"
	case unstable.Bool:
		return n.text
	case unstable.Array:
		return "a list"
	case unstable.ArrayTable:
		return "a list of tables ([[...]])"
	case unstable.Table, unstable.InlineTable:
		return "a table"
	}
	return "a date or time"
}

// fieldByKey finds the field of a struct type that a TOML key names.
// field is one setting of a struct, by way of the structs embedded in it too.
type field struct {
	reflect.StructField
	key   string // in the file
	owner string // the struct that declares it
}

// fieldsOf lists the settings of a struct type in the order of its fields.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			for _, in := range fieldsOf(f.Type) {
				in.Index = append([]int{i}, in.Index...)
				out = append(out, in)
			}
			continue
		}
		if key := f.Tag.Get("toml"); key != "" && key != "-" {
			out = append(out, field{f, key, t.Name()})
		}
	}
	return out
}

func fieldByKey(t reflect.Type, key string) (field, bool) {
	for _, f := range fieldsOf(t) {
		if f.key == key {
			return f, true
		}
	}
	return field{}, false
}

// keysOf lists the TOML keys of a struct type in the order of its fields.
func keysOf(t reflect.Type) []string {
	var keys []string
	for _, f := range fieldsOf(t) {
		keys = append(keys, f.key)
	}
	return keys
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
