package proto

import (
	"time"

	"filbert/pkg/wire"
)

// MaxPaceRows bounds the destinations of one Board; a busier dispatch leaves out those
// with the least to do.
const MaxPaceRows = 2000

// PaceRow is how fast mail goes to one destination: of those that have something under
// way, that are held up, or whose rate has been used a little.
type PaceRow struct {
	Transport   string    `json:"transport"`
	Destination string    `json:"destination"`       // next hop, user, or "provider NAME"
	Source      string    `json:"source,omitempty"`  // where the transport has several source addresses
	Deliveries  int       `json:"deliveries"`        // under way
	Allowed     int       `json:"allowed"`           // at once, as things are
	Most        int       `json:"most"`              // at once, ever
	Waiting     int       `json:"waiting,omitempty"` // for a place, in memory
	Rate        string    `json:"rate,omitempty"`    // "100 per minute"
	Used        int       `json:"used,omitempty"`    // of the rate, so far
	Held        string    `json:"held,omitempty"`    // "pause" or "rate": nothing begins
	Reply       string    `json:"reply,omitempty"`   // that caused the pause
	WarmUp      string    `json:"warm_up,omitempty"` // "day 3 of 30", while it lasts
	Until       time.Time `json:"until,omitzero"`    // the end of Held
}

const leastPaceRow = 7*4 + 6*8

func (r *PaceRow) encodeTo(e *wire.Encoder) {
	for _, s := range []string{r.Transport, r.Destination, r.Source, r.Rate, r.Held, r.Reply, r.WarmUp} {
		encodeWords(e, s, maxWords)
	}
	for _, n := range []int{r.Deliveries, r.Allowed, r.Most, r.Waiting, r.Used} {
		e.I64(int64(n))
	}
	e.I64(unixMilli(r.Until))
}

func (r *PaceRow) decodeFrom(d *wire.Decoder) {
	for _, s := range []*string{&r.Transport, &r.Destination, &r.Source, &r.Rate, &r.Held, &r.Reply, &r.WarmUp} {
		*s = d.String(maxWords)
	}
	for _, n := range []*int{&r.Deliveries, &r.Allowed, &r.Most, &r.Waiting, &r.Used} {
		*n = int(d.I64())
	}
	r.Until = fromMilli(d.I64())
}

func encodePaces(e *wire.Encoder, rows []PaceRow) {
	rows = rows[:min(len(rows), MaxPaceRows)]
	e.Count(len(rows))
	for i := range rows {
		rows[i].encodeTo(e)
	}
}

func decodePaces(d *wire.Decoder) []PaceRow {
	n := d.Count(MaxPaceRows, leastPaceRow)
	if n == 0 {
		return nil
	}
	rows := make([]PaceRow, n)
	for i := range rows {
		rows[i].decodeFrom(d)
	}
	return rows
}
