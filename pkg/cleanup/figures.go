package cleanup

import (
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/tally"
)

// figures are what cleanup counts (pkg/proto, stats.go). The zero value counts nothing.
type figures struct {
	committed, flushes *tally.Figure
}

func newFigures(set *tally.Set) figures {
	return figures{set.Figure(proto.FigureCommitted), set.Figure(proto.FigureFlushes)}
}

// flushed is told of each flush of the journal.
func (c *Cleanup) flushed(records int, took time.Duration) {
	c.figures.committed.Add(records)
	c.figures.flushes.Took(took)
}
