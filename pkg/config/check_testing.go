package config

import "time"

// mostAhead is more than any rule waits.
const mostAhead = 10 * 365 * 24 * time.Hour

// checkTesting keeps toys away from the mail of others.
func (c *checker) checkTesting() {
	t := c.s.Testing
	if t.MoveClock && !c.s.Instance.Private {
		c.bad("testing.move_clock", "is for private instances only (mtactl -C DIR): here it would return mail that has days left",
			"remove the line")
	}
	if t.ClockAhead != 0 && !t.MoveClock {
		c.bad("testing.clock_ahead", "moves a clock that testing.move_clock = true does not let go", "write move_clock = true, or remove the line")
	}
	if t.ClockAhead.D() > mostAhead {
		c.bad("testing.clock_ahead", "is more than 10 years", "")
	}
}
