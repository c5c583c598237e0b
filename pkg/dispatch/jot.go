package dispatch

import (
	"crypto/sha256"
	"encoding/binary"

	"filbert/pkg/event"
	"filbert/pkg/journal"
	"filbert/pkg/ledger"
	"filbert/pkg/outcome"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

// jot writes down at once, without a flush, whom a job of a flight that goes on has
// served: what a process has written outlives it, so that only a power cut
// forgets it, until note.go has it flushed. A first attempt jots beside its record in
// the journal; what lies under deferred/, into the log of the message. That it
// can't be written is no reason to do anything else: the note will insist.
//
// While a note is being written nothing is jotted, as nobody may wait for that: notes
// sees to those who were served meanwhile.
func (d *Dispatcher) jot(f *flight, leaves []int) {
	f.noting.Lock()
	defer f.noting.Unlock()
	if f.isNoting {
		return
	}
	leaves = f.toJot(leaves)
	if len(leaves) == 0 {
		return
	}
	if f.origin == fromJournal && !f.filed {
		made := make([]journal.Served, len(leaves))
		for n, i := range leaves {
			made[n] = journal.Served{Key: f.digest(i), Flags: flagsOf(&f.outcomes[i])}
			f.jotted[i] = true
		}
		d.marker.Serve(f.ref, f.env.ID, made)
		return
	}
	d.jotLog(f, leaves)
}

// jotLog is jot for a message under deferred/. Whose line is in the log is not looked
// at again, so that who is owed a confirmation has to wait for the note, which sends it.
func (d *Dispatcher) jotLog(f *flight, leaves []int) {
	now := d.now()
	var lines []spool.LogLine
	var in []int
	for _, i := range leaves {
		if f.plain(i) {
			in = append(in, i)
			lines = append(lines, f.lines(i, now)...)
		}
	}
	if len(in) == 0 {
		return
	}
	lines = append(lines, spool.LogLine{Time: now, Verb: spool.Ongoing, Recipient: spool.WholeMessage})
	if err := d.spool.JotLog(spool.Deferred, f.env.ID, lines); err != nil {
		d.log.Emit(event.TroubleOf(f.env.ID, "note who was served", err))
		return
	}
	for _, i := range in {
		f.jotted[i], f.inLog[i] = true, true
		d.tellOnce(f, i, now)
	}
}

// jotRest is jot for a flight whose jobs are done and whose end may yet take a while:
// a report has to be made, or the message has to be filed.
func (d *Dispatcher) jotRest(f *flight) {
	report := len(f.those(func(i int) bool { return f.outcomes[i].Permanent() })) > 0
	if report || f.origin == fromJournal && !f.filed && f.anyWaiting() {
		f.remember()
		d.jot(f, f.those(func(int) bool { return true }))
	}
}

// toJot are those of the leaves that were served and of whom nothing is written.
func (f *flight) toJot(leaves []int) []int {
	var out []int
	for _, i := range leaves {
		if f.outcomes[i].Class == outcome.Delivered && !f.jotted[i] && !f.inLog[i] {
			out = append(out, i)
		}
	}
	return out
}

// jottedOf are those that the journal says were served, and who can go into the log
// that is being begun as they are. Who is owed a confirmation can't.
func (f *flight) jottedOf(beside []int) []int {
	with := make(map[int]bool, len(beside))
	for _, i := range beside {
		with[i] = true
	}
	return f.those(func(i int) bool { return f.jotted[i] && !f.inLog[i] && !with[i] && f.plain(i) })
}

// plain tells whether nobody has to be told that a leaf was served.
func (f *flight) plain(i int) bool { return !wantsSuccess(f, i) && !wantsAfter(f, i) }

// remember has room for what is written of each leaf.
func (f *flight) remember() {
	f.noting.Lock()
	defer f.noting.Unlock()
	if f.noted != nil {
		return
	}
	n := len(f.leaves)
	f.noted, f.inLog, f.jotted = make([]bool, n), make([]bool, n), make([]bool, n)
	if f.told == nil {
		f.told = make([]bool, n)
	}
}

// digest tells a leaf from the others of its message, in this attempt and in the one
// that a restart makes: whose it is, what it is called, and who takes it there (one
// address may be served by several).
func (f *flight) digest(i int) (key [16]byte) {
	l := &f.leaves[i]
	b := binary.BigEndian.AppendUint32(nil, uint32(l.Parent))
	b = append(b, byte(l.Recipient.Kind))
	for _, s := range []string{ledger.Key(&l.Recipient), l.Recipient.User, l.By, l.Transport} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	sum := sha256.Sum256(b)
	copy(key[:], sum[:])
	return key
}

// leaveOutServed makes a verdict of what an earlier run, which was killed, has kept of
// this record: who was served is not served again, but told of as always. Each entry
// stands for one leaf.
func (d *Dispatcher) leaveOutServed(f *flight) {
	if f.origin != fromJournal {
		return
	}
	made := d.marker.ServedOf(f.ref, f.env.ID)
	if len(made) == 0 {
		return
	}
	left := map[[16]byte][]journal.Served{}
	for _, s := range made {
		left[s.Key] = append(left[s.Key], s)
	}
	for i := range f.leaves {
		key := f.digest(i)
		if list := left[key]; len(list) > 0 {
			left[key] = list[1:]
			f.leaves[i].Verdict = servedBefore(f.leaves[i].Transport, list[0].Flags)
		}
	}
}

// What a report of success says of a delivery that the run before has made, beside the
// record. They are on disk: a number is not given to another meaning.
const (
	servedPassed   = 1 // outcome.DSNPassed
	servedRelayed  = 2 // outcome.Relayed
	servedByPassed = 4 // outcome.ByPassed
)

func flagsOf(o *outcome.Outcome) (flags uint8) {
	if o.DSNPassed {
		flags |= servedPassed
	}
	if o.Relayed {
		flags |= servedRelayed
	}
	if o.ByPassed {
		flags |= servedByPassed
	}
	return flags
}

func servedBefore(transport string, flags uint8) outcome.Outcome {
	return outcome.Outcome{
		Class: outcome.Delivered, Status: statusDelivered, Transport: transport,
		DSNPassed: flags&servedPassed != 0, Relayed: flags&servedRelayed != 0, ByPassed: flags&servedByPassed != 0,
		Text: untrusted.From("delivered just before a restart"),
	}
}
