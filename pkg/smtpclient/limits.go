package smtpclient

import (
	"time"

	"filbert/pkg/smtp"
)

// Limits of our own. The replies of a server are bounded by pkg/smtp.
const (
	// maxHosts is the most servers tried for one job: with a connect time-out
	// of 30 s a domain whose machines are all off costs five minutes.
	maxHosts = 10
	// rcptWindow is the most commands sent before their replies are read. The
	// replies to as many, 512 octets each (RFC 5321, section 4.5.3.1.5), fit
	// into a receive buffer, so that server and client never both wait for
	// the other to read (RFC 2920, section 3.1).
	rcptWindow = 100
	// maxKept bounds the idle connections of all destinations together.
	maxKept = 500
	// blockSize is how much of a large message is read and written at once.
	blockSize = 64 << 10
	// chunkSize is the size of the BDAT chunks of a large message: between
	// two the server can say no before it has been sent all of it.
	chunkSize = 4 << 20
	// keptBuffer is the largest content buffer that goes back to the pool.
	keptBuffer = 512 << 10
	// jobTime, and a second for each jobRate octets of content, is the most
	// time one job may take. It ends what a server can drag out although no
	// single time-out is ever reached.
	jobTime = time.Hour
	jobRate = 10 << 10
	// quitTime is how long we try to say goodbye.
	quitTime = 2 * time.Second
)

// timeouts are those of RFC 5321, section 4.5.3.2, scaled.
type timeouts struct {
	greeting  time.Duration // section 4.5.3.2.1; our EHLO and STARTTLS too
	mail      time.Duration // section 4.5.3.2.2
	rcpt      time.Duration // section 4.5.3.2.3
	dataInit  time.Duration // section 4.5.3.2.4
	dataBlock time.Duration // section 4.5.3.2.5
	dataEnd   time.Duration // section 4.5.3.2.6
	job       time.Duration // see jobTime
}

func scaledTimeouts(percent int) timeouts {
	scale := func(d time.Duration) time.Duration {
		return max(d*time.Duration(percent)/100, time.Millisecond)
	}
	return timeouts{
		greeting:  scale(smtp.TimeoutGreeting),
		mail:      scale(smtp.TimeoutMail),
		rcpt:      scale(smtp.TimeoutRcpt),
		dataInit:  scale(smtp.TimeoutDataInit),
		dataBlock: scale(smtp.TimeoutDataBlock),
		dataEnd:   scale(smtp.TimeoutDataEnd),
		job:       scale(jobTime),
	}
}

// of is the time-out of the reply to one command.
func (t *timeouts) of(s step) time.Duration {
	switch s {
	case stepMail, stepReset:
		return t.mail
	case stepRcpt:
		return t.rcpt
	case stepData:
		return t.dataInit
	case stepChunk, stepEnd, stepEmptyEnd:
		return t.dataEnd
	default:
		return t.greeting
	}
}
