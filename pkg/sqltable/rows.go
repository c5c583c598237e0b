package sqltable

import (
	"fmt"
	"strings"

	"filbert/pkg/lookup"
)

// maxColumns bounds a row. Ours.
const maxColumns = 64

// rows makes an answer of rows, within the bounds of one.
type rows struct {
	answer lookup.Answer
	octets int
}

// width checks how many columns there are.
func width(columns int) error {
	if columns == 0 || columns > maxColumns {
		return fmt.Errorf("%w: rows of %d columns", lookup.ErrUnusable, columns)
	}
	return nil
}

// add takes a row; a cell of nil is NULL. The cells are copied.
func (r *rows) add(cells [][]byte) error {
	r.answer.Found = true
	if cells[0] == nil {
		return nil
	}
	var b strings.Builder
	for i, c := range cells {
		if c == nil {
			continue
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.Write(c)
	}
	if r.octets += b.Len(); len(r.answer.Values) == lookup.MaxValues || r.octets > lookup.MaxAnswer {
		return fmt.Errorf("%w: too many rows", lookup.ErrUnusable)
	}
	r.answer.Values = append(r.answer.Values, b.String())
	return nil
}

// done gives the answer when no row follows.
func (r *rows) done() (lookup.Answer, error) {
	if err := lookup.Usable(r.answer.Values); err != nil {
		return lookup.Answer{}, err
	}
	return r.answer, nil
}
