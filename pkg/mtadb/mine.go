package mtadb

import (
	"net/http"
	"strconv"
	"time"

	"filbert/pkg/history"
	"filbert/pkg/proto"
	"filbert/pkg/service/admin"
)

// Bounds on what users ask, beside those of admin.ServeUsers.
const (
	mineAtOnce = 4      // queries of all users that are under way
	mineLooked = 20_000 // messages that one query looks at
)

// users is what run/mine/mtadb serves.
func (m *Memory) users() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/mine/history", m.getMine)
	return mux
}

// getMine answers a user with what is his. Whose it is, the kernel says, and nothing in
// the query.
func (m *Memory) getMine(w http.ResponseWriter, r *http.Request) {
	began := m.now()
	defer func() { admin.Charge(r, m.now().Sub(began)) }()
	q, err := parseQuery(r.URL.Query(), m.now(), proto.MineMaxItems)
	if err != nil {
		admin.Fail(w, http.StatusBadRequest, err.Error(), hintQuery)
		return
	}
	if m.noLog != nil {
		admin.Fail(w, http.StatusNotFound, "no history is kept here", "")
		return
	}
	select {
	case m.mine <- struct{}{}:
		defer func() { <-m.mine }()
	case <-r.Context().Done():
		return
	case <-time.After(openPatience):
		admin.Fail(w, http.StatusTooManyRequests, "too many users ask at once", "try again in a moment")
		return
	}
	forUser(q, admin.Peer(r).UID)
	m.stream(w, r, q)
}

// forUser makes a query one for what a user submitted.
func forUser(q *query, uid uint32) {
	lead := history.Normal(history.ByUID, strconv.FormatUint(uint64(uid), 10))
	q.lead, q.most, q.order = &lead, mineLooked, forwards
	q.view = func(events []history.Event) ([]history.Event, bool) { return history.ForSubmitter(events, uid) }
}
