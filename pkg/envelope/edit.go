package envelope

import (
	"slices"
	"strings"

	"filbert/pkg/wire"
)

// Limits of an edit.
const (
	MaxEditFields = 100  // added or removed
	maxEditField  = 2000 // of one field that is added, octets
)

// Edit is what is changed in the header of a message on its way to some
// recipients. A nil Edit changes nothing.
type Edit struct {
	// Remove names fields, in lower case; all of a name are taken out.
	Remove []string
	// Add are whole fields without line ends, "Name: text", added in this order at
	// the end of the header.
	Add []string
}

// IsEmpty reports whether e changes nothing.
func (e *Edit) IsEmpty() bool { return e == nil || len(e.Remove) == 0 && len(e.Add) == 0 }

// Then is e with what o does after it: what o removes does not come back, not
// even where e had added it. What would be too much is left off.
func (e *Edit) Then(o *Edit) *Edit {
	switch {
	case o.IsEmpty():
		return e
	case e.IsEmpty():
		return o
	}
	out := &Edit{Remove: slices.Clone(e.Remove)}
	for _, name := range o.Remove {
		if !slices.Contains(out.Remove, name) {
			out.Remove = append(out.Remove, name)
		}
	}
	for _, field := range e.Add {
		name, _, _ := strings.Cut(field, ":")
		if !slices.Contains(o.Remove, strings.ToLower(strings.TrimSpace(name))) {
			out.Add = append(out.Add, field)
		}
	}
	out.Add = append(out.Add, o.Add...)
	out.Remove = out.Remove[:min(len(out.Remove), MaxEditFields)]
	out.Add = out.Add[:min(len(out.Add), MaxEditFields)]
	return out
}

// Key is a text that two edits have in common only if they do the same.
func (e *Edit) Key() string {
	if e.IsEmpty() {
		return ""
	}
	return strings.Join(e.Remove, "\n") + "\n\n" + strings.Join(e.Add, "\n")
}

// EncodeTo appends the edit.
func (e *Edit) EncodeTo(enc *wire.Encoder) {
	if e == nil {
		e = &Edit{}
	}
	for _, list := range [][]string{e.Remove, e.Add} {
		enc.Count(len(list))
		for _, s := range list {
			enc.String(s)
		}
	}
}

// DecodeEdit reads an edit; nil for one that changes nothing.
func DecodeEdit(d *wire.Decoder) *Edit {
	var e Edit
	for _, list := range []*[]string{&e.Remove, &e.Add} {
		n := d.Count(MaxEditFields, 4)
		for range n {
			s := d.String(maxEditField)
			if strings.ContainsAny(s, "\r\n\x00") {
				d.Fail("line end in an added header field")
			}
			*list = append(*list, s)
		}
	}
	if e.IsEmpty() {
		return nil
	}
	return &e
}
