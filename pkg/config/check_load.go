package config

import (
	"fmt"
	"path/filepath"
	"time"
)

func (c *checker) checkLoad() {
	l := c.s.Load
	c.oneOf("load.measure", l.Measure, "load", "pressure")
	switch {
	case l.Begin < 0:
		c.bad("load.begin", "is less than 0", "write 0 for limits that are fixed")
	case l.Begin == 0 && l.Full != 0:
		c.bad("load.full", "has no effect without begin", "write begin, the load from which the limits become less")
	case l.Begin > 0 && l.Full <= l.Begin:
		c.bad("load.full", fmt.Sprintf("is %v, and begin is %v", l.Full, l.Begin), "write the load, above begin, at which the limits are a tenth")
	case l.Measure == "pressure" && l.Full > 100:
		c.bad("load.full", fmt.Sprintf("is %v; pressure is a percentage", l.Full), "write at most 100")
	}
	if d := l.Every.D(); d < time.Second || d > 5*time.Minute {
		c.bad("load.every", fmt.Sprintf("is %s; it is from 1 second to 5 minutes", l.Every), "")
	}
	if !filepath.IsAbs(l.Proc) {
		c.bad("load.proc", fmt.Sprintf("%q does not begin at the root", l.Proc), `remove the line for "/proc"`)
	}
}
