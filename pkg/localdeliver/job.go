package localdeliver

import (
	"encoding/json"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/wire"
)

// The arrow between local-deliver and its children, over a socket pair that
// nobody else can reach.
//
//  1. C: childJob          the job, the transport's settings and who acts
//     (content inline, or the reading end of a pipe)
//
//  2. S: proto.LocalDone   its outcome
//
//  1. C: childRead             whose forward file, and how it is called
//
//  2. S: proto.ForwardAnswer   what is in it
//
//  1. C: childAsk              the command of a director or router
//
//  2. S: proto.ConsultAnswer   what it printed
const (
	kindChildJob  = proto.KindChildJob
	kindChildRead = proto.KindChildRead
	kindChildAsk  = proto.KindChildAsk
)

const (
	maxTransport = 64 << 10 // a transport's settings as JSON
	maxRules     = 1 << 20  // its rewriting rules as JSON
	maxPath      = 4096     // PATH_MAX
	maxCommand   = 1000     // words of a command in the configuration
)

// actor is who a child is. The child knows its uid from the kernel; name and
// home are what commands see.
type actor struct {
	Name string
	Home string
}

func (a *actor) encodeTo(e *wire.Encoder) {
	e.String(a.Name)
	e.String(a.Home)
}

func (a *actor) decodeFrom(d *wire.Decoder) {
	a.Name = d.String(256)
	a.Home = d.String(maxPath)
}

// childJob is all that a child knows of a delivery.
type childJob struct {
	Job       proto.LocalJob
	Transport []byte // settings.Transport as JSON
	Rules     []byte // the settings.Rewrite that it names, as JSON; empty = none
	Actor     actor
	Mail      string // the instance's directory of mailboxes, for {mail}
	Hostname  string
	Ahead     time.Duration // where the clock is
}

// Kind is the number of this message.
func (*childJob) Kind() uint16 { return kindChildJob }

// EncodeTo appends the message.
func (m *childJob) EncodeTo(e *wire.Encoder) {
	m.Job.EncodeTo(e)
	e.Bytes(m.Transport)
	e.Bytes(m.Rules)
	m.Actor.encodeTo(e)
	e.String(m.Mail)
	e.String(m.Hostname)
	e.I64(int64(m.Ahead))
}

// DecodeFrom reads it.
func (m *childJob) DecodeFrom(d *wire.Decoder) {
	m.Job.DecodeFrom(d)
	m.Transport = d.Bytes(maxTransport)
	m.Rules = d.Bytes(maxRules)
	m.Actor.decodeFrom(d)
	m.Mail = d.String(maxPath)
	m.Hostname = d.String(1024)
	m.Ahead = time.Duration(d.I64())
}

// transport decodes the settings.
func (m *childJob) transport() (settings.Transport, error) {
	var t settings.Transport
	err := json.Unmarshal(m.Transport, &t)
	return t, err
}

// childRead is all that a child knows of a forward file that it is to read.
type childRead struct {
	Actor    actor
	Detail   string
	File     string // its name, relative to the home; {home} {user} {detail} are filled in
	Includes bool   // read what it includes, too
}

// Kind is the number of this message.
func (*childRead) Kind() uint16 { return kindChildRead }

// EncodeTo appends the message.
func (m *childRead) EncodeTo(e *wire.Encoder) {
	m.Actor.encodeTo(e)
	e.String(m.Detail)
	e.String(m.File)
	e.Bool(m.Includes)
}

// DecodeFrom reads it.
func (m *childRead) DecodeFrom(d *wire.Decoder) {
	m.Actor.decodeFrom(d)
	m.Detail = d.String(maxPath)
	m.File = d.String(maxPath)
	m.Includes = d.Bool()
}

// childAsk is all that a child knows of a program that it is to ask.
type childAsk struct {
	Actor   actor
	Query   proto.ConsultQuery
	Command []string // as in the configuration
	Timeout time.Duration
}

// Kind is the number of this message.
func (*childAsk) Kind() uint16 { return kindChildAsk }

// EncodeTo appends the message.
func (m *childAsk) EncodeTo(e *wire.Encoder) {
	m.Actor.encodeTo(e)
	m.Query.EncodeTo(e)
	e.Count(len(m.Command))
	for _, word := range m.Command {
		e.String(word)
	}
	e.I64(int64(m.Timeout))
}

// DecodeFrom reads it.
func (m *childAsk) DecodeFrom(d *wire.Decoder) {
	m.Actor.decodeFrom(d)
	m.Query.DecodeFrom(d)
	m.Command = make([]string, d.Count(maxCommand, 4))
	for i := range m.Command {
		m.Command[i] = d.String(maxTransport)
	}
	m.Timeout = time.Duration(d.I64())
}
