package proto

import "filbert/pkg/wire"

// Kind numbers of all messages; a number is never used again for another
// message. Requests are even, the reply to a request is the next odd number.
// 0-99 belong to pkg/ipc and to the arrow between master and its children.
const (
	KindSubmission  = 100
	KindAcceptance  = 101
	KindCapacity    = 102 // notice
	KindAttempt     = 110
	KindTaken       = 111
	KindSegmentFree = 112 // notice
	KindRescan      = 114 // notice
	KindRouteQuery  = 120
	KindRouteAnswer = 121
	KindLookup      = 122
	KindLookedUp    = 123
	KindRemoteJob   = 130
	KindRemoteDone  = 131
	KindCallout     = 132
	KindCalledOut   = 133
	KindAbandon     = 134
	KindAbandoned   = 135
	KindLocalJob    = 140
	KindLocalDone   = 141
	KindChildJob    = 142 // local-deliver and its children
	KindForward     = 144
	KindForwarded   = 145
	KindConsult     = 146
	KindConsulted   = 147
	KindChildRead   = 148 // local-deliver and its children
	KindChildAsk    = 158 // local-deliver and its children
	KindReport      = 150
	KindReportDone  = 151
	KindFiled       = 160
	KindFiledOK     = 161
	KindUp          = 162
	KindUpOK        = 163
	KindDue         = 170
	KindSettled     = 171
	KindOrders      = 172
	KindOrdersTaken = 173
	KindAbort       = 174
	KindAborted     = 175
	KindRemember    = 180
	KindRemembered  = 181
	KindRecall      = 182
	KindRecalled    = 183
	KindForget      = 184
	KindForgotten   = 185
	KindForgot      = 186 // notice
	KindTurn        = 190
	KindTurned      = 191
)

// Limits that several arrows share.
const (
	// InlineMax is the most content that travels inside a frame; larger
	// content travels as a descriptor.
	InlineMax = 128 << 10
	// MaxFrame bounds every frame of the data path: inline content, the
	// envelope with its recipients, and room to spare.
	MaxFrame = 24 << 20
	maxName  = 256
	// maxWords bounds a text for people, maxOutput what a command printed and
	// maxTrace a line of an explanation. Longer ones are cut when they are sent:
	// what can't be decoded would end the connection, and all calls on it.
	maxWords  = 1024
	maxOutput = 1 << 20
	maxTrace  = 4096
)

func encodeWords(e *wire.Encoder, s string, most int) { e.String(s[:min(len(s), most)]) }
