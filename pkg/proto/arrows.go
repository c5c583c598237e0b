package proto

import "slices"

// Service is the name of a program that master runs.
type Service string

// The services. The values are the names of their binaries in libexec/.
const (
	Master       Service = "master"
	SMTPD        Service = "smtpd"
	Cleanup      Service = "cleanup"
	Dispatch     Service = "dispatch"
	Router       Service = "router"
	SMTPClient   Service = "smtp-client"
	LocalDeliver Service = "local-deliver"
	Bounce       Service = "bounce"
	QMgr         Service = "qmgr"
	MTADB        Service = "mtadb"
)

// Services lists all of them.
func Services() []Service {
	return []Service{Master, SMTPD, Cleanup, Dispatch, Router, SMTPClient, LocalDeliver, Bounce, QMgr, MTADB}
}

// Arrow is one arrow of the picture: who may call whom.
type Arrow struct {
	Caller, Callee Service
}

// Arrows is the picture as a table. Master makes a connection between two
// daemons only if it stands here (doc/adr/0001-brokered-arrows.md); the paths
// that other programs connect to are named in the files of their arrows.
func Arrows() []Arrow {
	return []Arrow{
		{SMTPD, Cleanup},
		{SMTPD, Router},        // verification; patterns that ask lookups
		{SMTPD, QMgr},          // ETRN
		{Cleanup, Router},      // rewriting by lookups
		{SMTPClient, Router},   // the same at the way out
		{Router, LocalDeliver}, // forward files; programs that direct and route
		{Router, SMTPClient},   // call-outs
		{Bounce, Cleanup},
		{Cleanup, Dispatch},
		{QMgr, Dispatch},
		{Dispatch, Router},
		{Dispatch, SMTPClient},
		{Dispatch, LocalDeliver},
		{Dispatch, Bounce},
		{Dispatch, QMgr},
		{Dispatch, MTADB},
		{Router, MTADB},  // what call-outs have found out
		{Master, Router}, // mtactl explain, mtactl lookup
	}
}

// MayCall tells whether an arrow leads from caller to callee.
func MayCall(caller, callee Service) bool {
	return slices.Contains(Arrows(), Arrow{caller, callee})
}

// The callers that reach a service by a path and not through master, as
// ipc.Call.Caller names them.
const (
	CallerPickup = "pickup" // run/submit/cleanup
)
