package turns

import "math/bits"

// Levels is how many priorities there are: -9 to 9 (RFC 6710, section 3).
const Levels = 19

const (
	lowest = -9
	// inARow is how many turns in a row the highest has against others that wait.
	inARow = 7
)

// Bound is how many turns one that waits may have to let pass: a round of eight for each
// of the others.
const Bound = (inARow + 1) * (Levels - 1)

// Waiting is a set of levels, those in which something waits.
type Waiting uint32

// Level is the level of a priority; what is out of range counts as the nearest.
func Level(priority int8) int { return min(max(int(priority)-lowest, 0), Levels-1) }

// With is w and a level.
func (w Waiting) With(level int) Waiting { return w | 1<<level }

// State is how the turns before went. The zero value is none.
type State struct {
	run   uint8 // turns in a row that the highest had against others
	below int8  // the level that had the last of the others' turns, and one
}

// Next is the level that has its turn; something must wait. Nothing changes: who is told
// may find that it can't be served.
func (s State) Next(w Waiting) int {
	top := bits.Len32(uint32(w)) - 1
	others := w &^ (1 << top)
	if others == 0 || s.run < inARow {
		return top
	}
	if below := others & (1<<max(s.below-1, 0) - 1); below != 0 {
		return bits.Len32(uint32(below)) - 1
	}
	return bits.Len32(uint32(others)) - 1
}

// Took notes that the level that Next told has had its turn.
func (s *State) Took(w Waiting, level int) {
	top := bits.Len32(uint32(w)) - 1
	switch {
	case w == 1<<top: // nobody else wanted it
	case level == top:
		s.run = min(s.run+1, inARow)
	default:
		s.run, s.below = 0, int8(level)+1
	}
}
