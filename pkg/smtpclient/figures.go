package smtpclient

import (
	"filbert/pkg/proto"
	"filbert/pkg/tally"
)

// figures are what smtp-client counts (pkg/proto, stats.go). The zero value counts
// nothing.
type figures struct {
	opened, reused           *tally.Figure
	transactions, recipients *tally.Figure
	commands, turns          *tally.Figure
}

func newFigures(set *tally.Set) figures {
	return figures{
		opened: set.Figure(proto.FigureOpened), reused: set.Figure(proto.FigureReused),
		transactions: set.Figure(proto.FigureTransactions), recipients: set.Figure(proto.FigureRecipients),
		commands: set.Figure(proto.FigureCommands), turns: set.Figure(proto.FigureTurns),
	}
}
