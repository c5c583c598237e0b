package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"filbert/pkg/settings"
)

// Doc documents one setting, or one table of them.
type Doc struct {
	Key     string `json:"key"`               // "listen.address", "transport.NAME.driver", "retry"
	Type    string `json:"type"`              // "text", "duration", "table", ...
	Default string `json:"default,omitempty"` // as it would be written in the file; "" = none
	Text    string `json:"text"`              // the comment of the field
}

// IsTable tells a table from a setting.
func (d Doc) IsTable() bool { return strings.HasPrefix(d.Type, "table") }

// Docs documents every setting, in the order of the structs, each table before
// its settings.
func Docs() []Doc {
	s := settings.Default()
	var out []Doc
	walkDocs(&out, reflect.ValueOf(s).Elem(), "")
	return out
}

// Help finds the documentation of a key. It takes keys as they are in messages
// ("listen[0].address") and last parts alone ("give_up"), and for a table all
// that is in it.
func Help(key string) []Doc {
	key = strings.Trim(key, "[]")
	if i := strings.IndexByte(key, '['); i >= 0 {
		_, rest, _ := strings.Cut(key[i:], "]")
		key = key[:i] + rest
	}
	var exact, under, last []Doc
	for _, d := range Docs() {
		plain := strings.Replace(d.Key, ".NAME", "", 1)
		switch {
		case d.Key == key || plain == key || matchesName(d.Key, key):
			exact = append(exact, d)
		case strings.HasPrefix(plain, key+"."):
			under = append(under, d)
		case strings.HasSuffix(plain, "."+key):
			last = append(last, d)
		}
	}
	switch {
	case len(exact) > 0:
		return append(exact, under...)
	case len(last) > 0:
		return last
	}
	return nil
}

// matchesName lets transport.smtp.tls find transport.NAME.tls.
func matchesName(doc, key string) bool {
	prefix, rest, ok := strings.Cut(doc, "NAME")
	if !ok || !strings.HasPrefix(key, prefix) {
		return false
	}
	_, tail, _ := strings.Cut(key[len(prefix):], ".")
	return rest == "."+tail || rest == "" && tail == ""
}

// NearestKey is the setting whose name is closest to a word, or "".
func NearestKey(word string) string {
	var keys []string
	for _, d := range Docs() {
		keys = append(keys, d.Key, d.Key[strings.LastIndexByte(d.Key, '.')+1:])
	}
	return nearest(word, keys)
}

func walkDocs(out *[]Doc, v reflect.Value, path string) {
	for _, f := range fieldsOf(v.Type()) {
		d := Doc{Key: join(path, f.key), Text: docs[f.owner+"."+f.Name]}
		elem, kind := tableElem(v.FieldByIndex(f.Index))
		if kind == "" {
			d.Type = typeName(f.Type)
			d.Default = literal(v.FieldByIndex(f.Index))
			*out = append(*out, d)
			continue
		}
		d.Type = kind
		if d.Text == "" {
			d.Text = docs[elem.Type().Name()]
		}
		if kind == "table by name" {
			d.Key += ".NAME"
		}
		*out = append(*out, d)
		walkDocs(out, elem, d.Key)
	}
}

// tableElem is a table's struct with its defaults, and how it is written; ""
// for what is no table.
func tableElem(v reflect.Value) (elem reflect.Value, kind string) {
	switch t := v.Type(); {
	case t == reflect.TypeFor[[]settings.Phase]():
		return v, "" // written within their rule, where one sees all of them at once
	case t.Kind() == reflect.Struct:
		return v, "table"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		e := reflect.New(t.Elem()).Elem()
		if l, ok := e.Addr().Interface().(*settings.Listen); ok {
			*l = l.Complete()
		}
		return e, "table, repeated"
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		e := reflect.New(t.Elem()).Elem()
		if tr, ok := e.Addr().Interface().(*settings.Transport); ok {
			*tr = tr.Complete()
		}
		return e, "table by name"
	}
	return v, ""
}

func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[settings.Duration]():
		return "duration"
	case t == reflect.TypeFor[settings.Size]():
		return "size"
	case t == reflect.TypeFor[settings.Phase]():
		return "phase"
	case t == reflect.TypeFor[settings.WarmUp]():
		return "warm-up"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Float64:
		return "number"
	case reflect.Slice:
		return "list of " + typeName(t.Elem()) + "s"
	case reflect.Map:
		return "table of " + typeName(t.Elem()) + "s"
	}
	return t.String()
}

// literal writes a value as TOML; "" for an unset one.
func literal(v reflect.Value) string {
	if v.IsZero() {
		return ""
	}
	return tomlValue(v)
}

func tomlValue(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case settings.Duration:
		return strconv.Quote(x.String())
	case settings.Size:
		if text := x.String(); strings.Contains(text, " ") {
			return strconv.Quote(text)
		}
		return strconv.FormatInt(x.Bytes(), 10)
	case string:
		return Quote(x)
	case map[string]string:
		return inlineMap(x)
	case settings.Phase, settings.WarmUp:
		return inlineTable(v)
	}
	if v.Kind() == reflect.Pointer {
		return tomlValue(v.Elem())
	}
	if v.Kind() == reflect.Slice {
		items := make([]string, v.Len())
		for i := range items {
			items[i] = tomlValue(v.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return fmt.Sprint(v.Interface())
}

// inlineTable writes what is set of a struct on one line.
func inlineTable(v reflect.Value) string {
	var items []string
	for _, f := range fieldsOf(v.Type()) {
		if field := v.FieldByIndex(f.Index); !field.IsZero() {
			items = append(items, f.key+" = "+tomlValue(field))
		}
	}
	return "{ " + strings.Join(items, ", ") + " }"
}

func inlineMap(m map[string]string) string {
	items := make([]string, 0, len(m))
	for _, k := range sortedKeys(m) {
		items = append(items, Quote(k)+" = "+Quote(m[k]))
	}
	if len(items) == 0 {
		return "{}"
	}
	return "{ " + strings.Join(items, ", ") + " }"
}

// Quote quotes text as TOML reads it; Go's \x and \a are not TOML's.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
