package localdeliver

import (
	"encoding/json"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/wire"
)

// The arrow between local-deliver and its children, over a socket pair that
// nobody else can reach.
//
//  1. C: childJob          the job, the transport's settings and who acts
//     (content inline, or the reading end of a pipe)
//  2. S: proto.LocalDone   its outcome
const kindChildJob = proto.KindChildJob

const (
	maxTransport = 64 << 10 // a transport's settings as JSON
	maxPath      = 4096     // PATH_MAX
)

// actor is who a child is. The child knows its uid from the kernel; name and
// home are what commands see.
type actor struct {
	Name string
	Home string
}

// childJob is all that a child knows of a delivery.
type childJob struct {
	Job       proto.LocalJob
	Transport []byte // settings.Transport as JSON
	Actor     actor
	Mail      string // the instance's directory of mailboxes, for {mail}
	Hostname  string
}

// Kind is the number of this message.
func (*childJob) Kind() uint16 { return kindChildJob }

// EncodeTo appends the message.
func (m *childJob) EncodeTo(e *wire.Encoder) {
	m.Job.EncodeTo(e)
	e.Bytes(m.Transport)
	e.String(m.Actor.Name)
	e.String(m.Actor.Home)
	e.String(m.Mail)
	e.String(m.Hostname)
}

// DecodeFrom reads it.
func (m *childJob) DecodeFrom(d *wire.Decoder) {
	m.Job.DecodeFrom(d)
	m.Transport = d.Bytes(maxTransport)
	m.Actor.Name = d.String(256)
	m.Actor.Home = d.String(maxPath)
	m.Mail = d.String(maxPath)
	m.Hostname = d.String(1024)
}

// transport decodes the settings.
func (m *childJob) transport() (settings.Transport, error) {
	var t settings.Transport
	err := json.Unmarshal(m.Transport, &t)
	return t, err
}
