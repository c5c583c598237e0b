package config

import (
	"fmt"
	"reflect"
	"strings"

	"filbert/pkg/settings"
)

// unknownKey reports a key that the table does not have, with what was
// probably meant: a near spelling, a key of another table, or all there are.
func (d *decoder) unknownKey(t reflect.Type, n *node, path, key string) {
	what := "there is no such setting"
	if path != "" {
		what = fmt.Sprintf("%s has no such setting", displayTable(path))
	}
	keys := keysOf(t)
	hint := ""
	if near := nearest(key, keys); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	} else if isTopLevel(key) {
		hint = fmt.Sprintf("%q belongs at the top of the file; move it above the first table", key)
	} else if homes := tablesWith(key); len(homes) > 0 {
		hint = fmt.Sprintf("%q belongs in %s", key, strings.Join(homes, " or "))
	} else {
		hint = "there are: " + strings.Join(keys, ", ")
	}
	d.mistake(n.key, join(path, key), what, hint)
}

// displayTable is a path as a table's header: listen[0] is [[listen]].
func displayTable(path string) string {
	if i := strings.IndexByte(path, '['); i >= 0 {
		return "[[" + path[:i] + "]]"
	}
	return "[" + path + "]"
}

// Nearest is the one of some names that a mistyped word is most likely meant to be, "" if
// none is like it.
func Nearest(word string, names []string) string { return nearest(word, names) }

// nearest is the candidate that is few edits away from word, or "".
func nearest(word string, candidates []string) string {
	word = strings.ReplaceAll(strings.ToLower(word), "-", "_")
	best, bestDist := "", len(word)/3+1
	for _, c := range candidates {
		lower := strings.ReplaceAll(strings.ToLower(c), "-", "_")
		if lower == word || lower+"s" == word || word+"s" == lower {
			return c
		}
		if dist := distance(word, lower, bestDist); dist < bestDist {
			best, bestDist = c, dist
		}
	}
	return best
}

// distance is the number of letters to insert, remove, change or swap with a
// neighbour, given up above limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// tablesWith names the tables that have a key.
func tablesWith(key string) []string {
	var found []string
	t := reflect.TypeFor[settings.Settings]()
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("toml")
		sub, header := f.Type, "["+name+"]"
		switch f.Type.Kind() {
		case reflect.Slice:
			sub, header = f.Type.Elem(), "[["+name+"]]"
		case reflect.Map:
			sub, header = f.Type.Elem(), "["+name+".NAME]"
		}
		if name == "-" || sub.Kind() != reflect.Struct {
			continue
		}
		if _, ok := fieldByKey(sub, key); ok {
			found = append(found, header)
		}
	}
	return found
}

func isTopLevel(key string) bool {
	_, ok := fieldByKey(reflect.TypeFor[settings.Settings](), key)
	return ok
}
