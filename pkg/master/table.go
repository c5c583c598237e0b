package master

import (
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// startRule is when a service starts.
type startRule int

const (
	atStart startRule = iota
	whenCalled
)

// reloadRule is how a service takes a new configuration.
type reloadRule int

const (
	inPlace  reloadRule = iota // it holds state that must not be lost
	replaced                   // it holds clients that must not be dropped
)

// needRule is whether the suite counts as running without a service.
type needRule int

const (
	needed   needRule = iota
	optional          // mail flows without it
)

// definition is what master knows of a service.
type definition struct {
	name    proto.Service
	start   startRule
	reload  reloadRule
	listens []proto.ListenerKind
	// user is who it becomes in a separated instance; nil: it stays root and
	// keeps the few capabilities that it names.
	user func(*settings.Users) string
	need needRule
}

// services is the suite in the order in which mail flows, which is the order
// of stopping: whoever could still hand something on goes first.
func services() []definition {
	return []definition{
		{proto.SMTPD, atStart, replaced, nil, func(u *settings.Users) string { return u.In }, needed},
		{proto.Cleanup, atStart, inPlace, []proto.ListenerKind{proto.ListenSubmit}, mainUser, needed},
		{proto.Dispatch, atStart, inPlace, nil, mainUser, needed},
		{proto.SMTPClient, atStart, inPlace, nil, func(u *settings.Users) string { return u.Out }, needed},
		{proto.LocalDeliver, whenCalled, inPlace, nil, nil, needed},
		{proto.Bounce, whenCalled, inPlace, nil, mainUser, needed},
		{proto.Router, atStart, inPlace, nil, func(u *settings.Users) string { return u.Route }, needed},
		{proto.QMgr, atStart, inPlace, []proto.ListenerKind{proto.ListenControl, proto.ListenMine}, mainUser, needed},
		{proto.MTADB, atStart, inPlace, []proto.ListenerKind{proto.ListenControl, proto.ListenMine},
			func(u *settings.Users) string { return u.Memory }, optional},
	}
}

func mainUser(u *settings.Users) string { return u.Main }
