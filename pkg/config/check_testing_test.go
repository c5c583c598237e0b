package config

import (
	"errors"
	"slices"
	"testing"
)

func TestInstalledInstanceRefusesAClockThatMoves(t *testing.T) {
	i := inst(t, map[string]string{"filbert.toml": "[testing]\nmove_clock = true\n"})
	if _, _, err := Load(i.ConfigFile(), i); err != nil {
		t.Fatalf("a private one: %v", err)
	}
	i.Private = false
	if _, problems, err := Load(i.ConfigFile(), i); !errors.Is(err, ErrInvalid) || !slices.ContainsFunc(problems, func(p Problem) bool { return p.Key == "testing.move_clock" }) {
		t.Errorf("%v, %v", problems, err)
	}
}
