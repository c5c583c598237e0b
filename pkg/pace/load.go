package pace

// Whole is the level at which nothing is less than its limit. Levels are percents, in
// steps of ten; the least is one step, so that mail always moves.
const (
	Whole = 100
	step  = 10
)

// LoadCurve says how much of the limits is left at a load.
type LoadCurve struct {
	Begin, Full float64 // 0: the limits are fixed
}

// Level is the level for a load: Whole up to Begin, one step from Full on, and in a
// straight line between them.
func (c LoadCurve) Level(load float64) int {
	switch {
	case c.Begin <= 0 || load <= c.Begin:
		return Whole
	case load >= c.Full:
		return step
	}
	left := (c.Full - load) / (c.Full - c.Begin)
	return step + int(left*(Whole-step)/step)*step
}

// Next is the level that follows one. It falls at once and rises by steps, and only when
// the load is a tenth below what the higher level needs: else limits would swing with the
// load that they themselves make.
func (c LoadCurve) Next(level int, load float64) int {
	level = min(max(level, step), Whole)
	switch now := c.Level(load); {
	case now < level:
		return now
	case c.Level(load*1.1) > level:
		return level + step
	}
	return level
}

// Part is what a level leaves of a limit, at least 1.
func Part(limit, level int) int {
	if level >= Whole || level <= 0 {
		return limit
	}
	return max(1, limit*level/Whole)
}

// StrangersLevel is the level for connections of those who may not relay: nothing less
// until deliveries are down to half, as mail that is refused comes again, and then twice
// the level.
func StrangersLevel(level int) int {
	if level <= 0 {
		return Whole
	}
	return min(Whole, 2*level)
}
