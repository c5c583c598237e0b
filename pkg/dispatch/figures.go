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

	spared, attempted      *tally.Figure // of recipients elsewhere
	knownHosts, otherHosts *tally.Figure // by their quirks
}

func newFigures(set *tally.Set) figures {
	return figures{
		atOnce: set.Figure(proto.FigureAtOnce), filed: set.Figure(proto.FigureFiled),
		marks: set.Figure(proto.FigureMarks), markFlushes: set.Figure(proto.FigureMarkFlushes),
		releases: set.Figure(proto.FigureReleases),
		spared:   set.Figure(proto.FigureAttemptsSpared), attempted: set.Figure(proto.FigureAttempts),
		knownHosts: set.Figure(proto.FigureServersKnown), otherHosts: set.Figure(proto.FigureServersNew),
	}
}
