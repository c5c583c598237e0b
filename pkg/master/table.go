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

// definition is what master knows of a service.
type definition struct {
	name    proto.Service
	start   startRule
	reload  reloadRule
	listens proto.ListenerKind // 0: none
	// user is who it becomes in a separated instance; nil: it stays root and
	// keeps the few capabilities that it names.
	user func(*settings.Users) string
}

// services is the suite in the order in which mail flows, which is the order
// of stopping: whoever could still hand something on goes first.
func services() []definition {
	return []definition{
		{proto.SMTPD, atStart, replaced, proto.ListenSMTP, func(u *settings.Users) string { return u.In }},
		{proto.Cleanup, atStart, inPlace, proto.ListenSubmit, mainUser},
		{proto.Dispatch, atStart, inPlace, 0, mainUser},
		{proto.SMTPClient, atStart, inPlace, 0, func(u *settings.Users) string { return u.Out }},
		{proto.LocalDeliver, whenCalled, inPlace, 0, nil},
		{proto.Bounce, whenCalled, inPlace, 0, mainUser},
		{proto.Router, atStart, inPlace, 0, func(u *settings.Users) string { return u.Route }},
		{proto.QMgr, atStart, inPlace, proto.ListenControl, mainUser},
	}
}

func mainUser(u *settings.Users) string { return u.Main }
