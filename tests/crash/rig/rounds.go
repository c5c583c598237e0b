package rig

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

// victims are the kinds of processes, each as likely as often as it is here.
// Master's end is everybody's, and so the only one that undoes the pause that
// master makes before a service that ends too often is started again.
var victims = []string{
	"smtpd", "cleanup", "dispatch", "router", "smtp-client", "local-deliver", "local-child", "bounce", "qmgr",
	"smtpd", "cleanup", "dispatch", "router", "smtp-client", "local-deliver", "local-child", "bounce", "qmgr",
	"master", "master", "master",
}

// Killer carries out the rounds.
type Killer struct {
	s      *Suite
	ledger *Ledger
	rnd    *rand.Rand
	logf   func(string, ...any)

	// Pause is between the rounds; 0 = as short as it takes for some mail to pass.
	Pause time.Duration

	Kills   []Killed
	Trouble []string         // starts that failed
	past    map[Process]bool // all processes that were seen
}

// NewKiller makes one that tells logf how it gets on.
func NewKiller(s *Suite, l *Ledger, seed uint64, logf func(string, ...any)) *Killer {
	return &Killer{s: s, ledger: l, rnd: rand.New(rand.NewPCG(seed, 1)), logf: logf, past: map[Process]bool{}}
}

// Run kills until so many processes were killed.
func (k *Killer) Run(rounds int) {
	report := max(1, rounds/10)
	for next := report; len(k.Kills) < rounds; {
		k.await()
		k.strike()
		if k.rnd.IntN(7) == 0 {
			// Two at once: one that could have helped the other is gone too.
			k.spell(20 * time.Millisecond)
			k.strike()
		}
		if len(k.Kills) >= next {
			k.logf("%d kills, %d messages acknowledged", len(k.Kills), k.ledger.Acknowledged())
			next += report
		}
	}
}

// await lets some mail through before the next kill, mostly; sometimes the next
// kill meets the suite while it recovers from the last.
func (k *Killer) await() {
	if k.Pause > 0 {
		time.Sleep(k.Pause)
		return
	}
	if k.rnd.IntN(4) == 0 {
		k.spell(30 * time.Millisecond)
		return
	}
	want := k.ledger.Acknowledged() + 1 + k.rnd.IntN(60)
	for end := time.Now().Add(1500 * time.Millisecond); k.ledger.Acknowledged() < want && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	k.spell(30 * time.Millisecond)
}

// spell lets a random time pass, at most so long.
func (k *Killer) spell(most time.Duration) { time.Sleep(time.Duration(k.rnd.Int64N(int64(most)))) }

// strike kills one process. If none of the kind that was picked runs (it is not
// needed now, or waits for its restart) another is picked.
func (k *Killer) strike() {
	for {
		name := victims[k.rnd.IntN(len(victims))]
		list := k.s.Running()
		for _, p := range list {
			k.past[p] = true
			if p.Name == "pickup" && k.rnd.IntN(2) == 0 {
				name = p.Name // it seldom runs, so take the chance
			}
		}
		if name == "master" || len(list) == 0 {
			k.strikeMaster(list)
			return
		}
		var found []Process
		for _, p := range list {
			if p.Name == name {
				found = append(found, p)
			}
		}
		if len(found) == 0 {
			continue
		}
		k.kill(found[k.rnd.IntN(len(found))])
		return
	}
}

func (k *Killer) kill(p Process) {
	at := time.Now()
	if syscall.Kill(p.PID, syscall.SIGKILL) == nil {
		k.Kills = append(k.Kills, Killed{p.Name, at})
	}
}

// strikeMaster kills master and starts the suite again, as a supervisor would;
// sometimes the new one is killed while it starts.
func (k *Killer) strikeMaster(list []Process) {
	if len(list) > 0 {
		k.kill(list[0])
		k.awaitEnd(list[0])
	}
	if k.rnd.IntN(2) == 0 {
		k.spell(150 * time.Millisecond)
	}
	if k.rnd.IntN(5) == 0 {
		began := make(chan error, 1)
		go func() { began <- k.s.Start() }()
		k.spell(250 * time.Millisecond)
		p, ok := k.s.Master()
		if ok {
			k.kill(p)
			k.awaitEnd(p)
		}
		if err := <-began; err == nil && !ok {
			return // it was too fast
		}
	}
	if err := k.s.Start(); err != nil {
		k.Trouble = append(k.Trouble, fmt.Sprintf("the suite does not start after master was killed: %v", err))
		k.logf("%v", err)
		time.Sleep(time.Second)
	}
}

// awaitEnd waits until a process that was killed has ended, as a supervisor does
// before it starts another.
func (k *Killer) awaitEnd(p Process) {
	err := Until(10*time.Second, func() (bool, error) { return !p.Alive(), fmt.Errorf("%s lives on", p.Name) })
	if err != nil {
		k.Trouble = append(k.Trouble, err.Error())
	}
}

// Survivors are processes that were seen during the rounds, do not belong to the
// running suite, and have not ended.
func (k *Killer) Survivors() []Process {
	now := map[Process]bool{}
	for _, p := range k.s.Running() {
		now[p] = true
	}
	var out []Process
	for p := range k.past {
		if !now[p] && p.Alive() {
			out = append(out, p)
		}
	}
	return out
}
