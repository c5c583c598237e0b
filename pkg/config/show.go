package config

import (
	"fmt"
	"io"
	"reflect"
	"sort"
	"strings"

	"filbert/pkg/settings"
)

// Show writes what is in force as TOML, with where each value came from behind
// it. The output is itself a configuration with the same meaning.
func (l *Loaded) Show(w io.Writer) error {
	sh := &shower{w: w, sources: l.Sources, etc: l.Settings.Instance.Etc}
	sh.table(reflect.ValueOf(l.Settings).Elem(), "", "")
	return sh.err
}

type shower struct {
	w       io.Writer
	sources Sources
	etc     string // files in it are shown by their names alone
	err     error
}

func (s *shower) printf(format string, args ...any) {
	if s.err == nil {
		_, s.err = fmt.Fprintf(s.w, format, args...)
	}
}

// table writes the settings of a table first, then the tables in it: TOML
// would take a setting behind a header for one of that header's.
func (s *shower) table(v reflect.Value, path, header string) {
	var tables []field
	for _, sf := range fieldsOf(v.Type()) {
		f := v.FieldByIndex(sf.Index)
		if _, kind := tableElem(f); kind != "" {
			tables = append(tables, sf)
			continue
		}
		at := join(path, sf.key)
		_, set := s.sources[at]
		if !set && (f.IsZero() && (header != "" || f.Kind() == reflect.Pointer) || !meaningful(v, sf.key)) {
			continue
		}
		s.printf("%-50s # %s\n", sf.key+" = "+tomlValue(f), s.source(at))
	}
	for _, sf := range tables {
		s.nested(v.FieldByIndex(sf.Index), join(path, sf.key))
	}
}

// meaningful says whether a table's driver has a use for an option; Complete
// fills in the defaults of all drivers.
func meaningful(v reflect.Value, key string) bool {
	var options map[string][]string
	driver := ""
	switch x := v.Interface().(type) {
	case settings.Transport:
		options, driver = transportOptions, x.Driver
	case settings.Director:
		options, driver = directorOptions, x.Driver
	case settings.Router:
		options, driver = routerOptions, x.Driver
	}
	drivers, limited := options[key]
	return !limited || contains(drivers, driver)
}

func (s *shower) nested(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Struct:
		s.printf("\n[%s]\n", path)
		s.table(v, path, path)
	case reflect.Slice:
		for i := range v.Len() {
			at := fmt.Sprintf("%s[%d]", path, i)
			s.printf("\n[[%s]]%s\n", path, s.comment(at))
			s.table(v.Index(i), at, at)
		}
	case reflect.Map:
		keys := v.MapKeys()
		sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
		for _, k := range keys {
			at := join(path, k.String())
			s.printf("\n[%s.%s]%s\n", path, tomlKey(k.String()), s.comment(at))
			s.table(v.MapIndex(k), at, at)
		}
	}
}

func (s *shower) comment(at string) string {
	if _, set := s.sources[at]; set {
		return ""
	}
	return " # default"
}

func (s *shower) source(at string) string {
	p, ok := s.sources[at]
	if !ok {
		return "default"
	}
	return fmt.Sprintf("%s:%d", strings.TrimPrefix(p.File, s.etc+"/"), p.Line)
}

func tomlKey(k string) string {
	for _, r := range k {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_", r) {
			return Quote(k)
		}
	}
	return k
}
