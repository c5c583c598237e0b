package service

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"filbert/pkg/proto"
)

// Scoreboard is what a process is doing now: a row for each thing under way.
// Rows are cheap enough for ten thousand sessions that change phase with every
// command; reading the board disturbs nobody.
type Scoreboard struct {
	now  func() time.Time
	mu   sync.Mutex
	rows map[*Row]struct{}
	pace func() []proto.PaceRow
}

// Row is one thing under way: a session, a delivery, a submission.
type Row struct {
	board *Scoreboard
	began time.Time
	bytes atomic.Int64

	mu    sync.Mutex
	phase string
	id    string
	peer  string
	since time.Time
}

// NewScoreboard makes an empty board.
func NewScoreboard(now func() time.Time) *Scoreboard {
	return &Scoreboard{now: now, rows: map[*Row]struct{}{}}
}

// Start adds a row. End removes it.
func (b *Scoreboard) Start() *Row {
	now := b.now()
	r := &Row{board: b, began: now, since: now}
	b.mu.Lock()
	b.rows[r] = struct{}{}
	b.mu.Unlock()
	return r
}

// Set says what the row is doing: a phase in our own words, a queue id or "",
// a peer's address or "". Empty id and peer leave those that were set before.
func (r *Row) Set(phase, id, peer string) {
	now := r.board.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if phase != r.phase {
		r.since = now
	}
	r.phase = phase
	if id != "" {
		r.id = id
	}
	if peer != "" {
		r.peer = peer
	}
}

// Add counts bytes.
func (r *Row) Add(n int64) { r.bytes.Add(n) }

// End removes the row.
func (r *Row) End() {
	r.board.mu.Lock()
	delete(r.board.rows, r)
	r.board.mu.Unlock()
}

// WithPaces adds to each snapshot what f tells of destinations.
func (b *Scoreboard) WithPaces(f func() []proto.PaceRow) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pace = f
}

// Len is the number of rows.
func (b *Scoreboard) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.rows)
}

// Snapshot is the board at this moment, the oldest rows first.
func (b *Scoreboard) Snapshot() *proto.Board {
	b.mu.Lock()
	rows := make([]*Row, 0, len(b.rows))
	for r := range b.rows {
		rows = append(rows, r)
	}
	pace := b.pace
	b.mu.Unlock()
	slices.SortFunc(rows, func(x, y *Row) int { return cmp.Compare(x.began.UnixNano(), y.began.UnixNano()) })
	var out proto.Board
	if len(rows) > proto.MaxBoardRows {
		out.More = uint32(len(rows) - proto.MaxBoardRows)
		rows = rows[:proto.MaxBoardRows]
	}
	for _, r := range rows {
		r.mu.Lock()
		out.Rows = append(out.Rows, proto.BoardRow{
			Phase: r.phase,
			ID:    r.id,
			Peer:  r.peer,
			Since: r.since,
			Bytes: r.bytes.Load(),
		})
		r.mu.Unlock()
	}
	if pace != nil {
		out.Paces = pace()
	}
	return &out
}
