package router

import (
	"context"
	"testing"

	"filbert/pkg/lookup"
	"filbert/pkg/settings"
)

type closing struct{ closed *bool }

func (closing) Find(context.Context, string, string) (lookup.Answer, error) {
	return lookup.Answer{}, nil
}
func (closing) Has(string) bool { return false }
func (c closing) Close()        { *c.closed = true }

func TestRulesThatCannotBeMadeLeaveNoConnections(t *testing.T) {
	closed := false
	s := settings.Default()
	s.Domains.Local = []string{"lookup:absent"}
	if _, err := compile(s, World{Tables: closing{&closed}}); err == nil || !closed {
		t.Errorf("closed: %t, %v", closed, err)
	}
}
