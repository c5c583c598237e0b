package dispatch

import (
	"filbert/pkg/proto"
	"filbert/pkg/tally"
)

// figures are what dispatch counts (pkg/proto, stats.go). The zero value counts nothing.
type figures struct {
	atOnce, filed      *tally.Figure
	marks, markFlushes *tally.Figure
	releases           *tally.Figure
}

func newFigures(set *tally.Set) figures {
	return figures{
		atOnce: set.Figure(proto.FigureAtOnce), filed: set.Figure(proto.FigureFiled),
		marks: set.Figure(proto.FigureMarks), markFlushes: set.Figure(proto.FigureMarkFlushes),
		releases: set.Figure(proto.FigureReleases),
	}
}
