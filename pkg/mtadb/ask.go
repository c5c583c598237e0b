package mtadb

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/history"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/service/admin"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// administrators is what run/control/mtadb serves.
func (m *Memory) administrators() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/history", m.getHistory)
	mux.HandleFunc("GET /v1/history/status", m.getStatus)
	mux.HandleFunc("GET /v1/memory", m.getMemory)
	mux.HandleFunc("POST /v1/memory/forget", m.postForget)
	return mux
}

// queryKeys are the parameters of a query, with the terms that they stand for; the most
// telling first, as the first is looked up.
var queryKeys = []struct {
	name string
	kind history.TermKind
}{
	{"id", 0}, {"since", 0}, {"until", 0}, {"limit", 0},
	{"message_id", history.ByMessageID}, {"recipient", history.ByRecipient}, {"sender", history.BySender},
	{"uid", history.ByUID}, {"login", history.ByLogin}, {"client", history.ByClient},
	{"host", history.ByHost}, {"domain", history.ByDomain},
}

// parseQuery reads the parameters; one that is unknown, or there twice, is an error.
func parseQuery(v url.Values, now time.Time, most int) (*query, error) {
	q := &query{limit: min(proto.HistoryLimit, most), order: backwards}
	known := 0
	for _, k := range queryKeys {
		texts, ok := v[k.name]
		if !ok {
			continue
		}
		known++
		if len(texts) != 1 || len(texts[0]) > proto.MaxMemoryKey || texts[0] == "" {
			return nil, fmt.Errorf("%s: one value is wanted", k.name)
		}
		if err := q.set(k.name, k.kind, texts[0], now, most); err != nil {
			return nil, err
		}
	}
	if known != len(v) {
		return nil, errors.New("a parameter that is not known")
	}
	return q, nil
}

func (q *query) set(name string, kind history.TermKind, text string, now time.Time, most int) (err error) {
	switch name {
	case "id":
		if q.id, err = queueid.Parse(text); err != nil {
			return errors.New("id: not a queue id")
		}
	case "since":
		q.since, err = moment(text, now)
	case "until":
		q.until, err = moment(text, now)
	case "limit":
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > most {
			return fmt.Errorf("limit: a number from 1 to %d is wanted", most)
		}
		q.limit = n
	default:
		q.terms = append(q.terms, history.Normal(kind, text))
	}
	if err != nil {
		return fmt.Errorf("%s: write a time like 2026-03-01T09:30:00Z, or an age like 2h", name)
	}
	return nil
}

func moment(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	var d settings.Duration
	if err := d.UnmarshalText([]byte(text)); err != nil {
		return time.Time{}, err
	}
	return now.Add(-d.D()), nil
}

const hintQuery = "see mtactl history --help"

func (m *Memory) getHistory(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.Query(), m.now(), proto.HistoryMost)
	if err != nil {
		admin.Fail(w, http.StatusBadRequest, err.Error(), hintQuery)
		return
	}
	m.stream(w, r, q)
}

// writeTimeout is how long a reader may take for each piece of an answer.
const writeTimeout = 30 * time.Second

// stream sends what a query finds, while it is found.
func (m *Memory) stream(w http.ResponseWriter, r *http.Request, q *query) {
	s, err := m.ready(r.Context())
	if err != nil {
		admin.Fail(w, http.StatusServiceUnavailable, "the history can't be read at the moment", "the log says why: mtactl tail mtadb")
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	deadline := http.NewResponseController(w)
	n := 0
	send := func(f found) bool {
		if n%100 == 0 {
			_ = deadline.SetWriteDeadline(time.Now().Add(writeTimeout))
			_ = deadline.Flush()
		}
		n++
		return out.Encode(message(f)) == nil // or the reader has gone
	}
	if q.order == backwards {
		err = s.find(r.Context(), q, send)
	} else {
		var list []found // the newest are found first, and there are few
		err = s.find(r.Context(), q, func(f found) bool { list = append(list, f); return true })
		for _, f := range slices.Backward(list) {
			if !send(f) {
				return
			}
		}
	}
	switch {
	case errors.Is(err, errTooMuch):
		_ = out.Encode(proto.HistoryMessage{Error: "too many messages would have to be looked at: ask for a shorter time, or by something rarer"})
	case err != nil:
		m.log.Emit(event.TroubleOf(0, "reading the history", err))
		_ = out.Encode(proto.HistoryMessage{Error: "the history can't be read to its end"})
	}
}

func message(f found) proto.HistoryMessage {
	out := proto.HistoryMessage{Events: make([]proto.HistoryEvent, 0, len(f.events))}
	if !f.id.IsZero() {
		out.ID = f.id.String()
	}
	for i := range f.events {
		e := &f.events[i]
		h := proto.HistoryEvent{At: e.At, What: e.Verb, By: e.By}
		if len(e.Fields) > 0 {
			h.Facts = make(map[string]string, len(e.Fields))
		}
		for _, x := range e.Fields {
			h.Facts[x.Key] = untrusted.From(x.Value).ForTerminal()
		}
		out.Events = append(out.Events, h)
	}
	return out
}

func (m *Memory) getStatus(w http.ResponseWriter, _ *http.Request) {
	st := proto.HistoryStatus{Follows: m.follows, Behind: m.follower.behind.Load(), Skipped: m.follower.skipped.Load()}
	if why := m.follower.state.Load(); why != nil {
		st.Trouble = *why
	}
	if m.noLog != nil {
		st.Trouble = m.noLog.Error()
	}
	s := m.store.Load()
	if s == nil {
		m.mu.Lock()
		if st.Trouble == "" {
			st.Trouble = m.closed
		}
		m.mu.Unlock()
		admin.Answer(w, http.StatusOK, &st)
		return
	}
	st.Oldest = s.oldest()
	st.Size, _ = s.historySize() // 0 is as good as not known
	admin.Answer(w, http.StatusOK, &st)
}

// oldest is when the first message of the history came, nil if there is none.
func (s *store) oldest() (at *time.Time) {
	err := s.each(prefixed([]byte{keyEvents}), func(key, _ []byte) bool {
		if len(key) >= 13 {
			t := queueid.ID(binary.BigEndian.Uint64(key[5:])).Time()
			at = &t
		}
		return false
	})
	if err != nil {
		return nil
	}
	return at
}

// memoryPage is the most records of one page for people.
const memoryPage = 1000

func (m *Memory) getMemory(w http.ResponseWriter, r *http.Request) {
	s, err := m.ready(r.Context())
	if err != nil {
		admin.Fail(w, http.StatusServiceUnavailable, err.Error(), "the log says more: mtactl tail mtadb")
		return
	}
	v := r.URL.Query()
	page := proto.MemoryPage{Records: []proto.MemoryItem{}}
	if v.Get("kind") == "" {
		page.Kinds = s.kinds()
		admin.Answer(w, http.StatusOK, &page)
		return
	}
	kind, ok := kindNamed(v.Get("kind"))
	if !ok {
		noKind(w)
		return
	}
	limit := memoryPage
	if n, err := strconv.Atoi(v.Get("limit")); err == nil && n > 0 {
		limit = min(n, limit)
	}
	list, more, err := s.recall(kind, v.Get("prefix"), v.Get("after"), limit, m.now())
	if err == nil {
		err = s.flush() // what was shown is not lost
	}
	if err != nil {
		admin.Fail(w, http.StatusInternalServerError, err.Error(), "")
		return
	}
	page.More = more
	for _, x := range list {
		item := proto.MemoryItem{Kind: kind.String(), Key: x.key, Size: len(x.data), Kept: time.Unix(x.kept, 0).UTC(), Value: x.data}
		if x.expires != 0 {
			at := time.Unix(x.expires, 0).UTC()
			item.Expires = &at
		}
		page.Records = append(page.Records, item)
	}
	admin.Answer(w, http.StatusOK, &page)
}

func noKind(w http.ResponseWriter) {
	admin.Fail(w, http.StatusBadRequest, "there is no such kind", "there are host, address, quirk and callout")
}

func kindNamed(name string) (proto.MemoryKind, bool) {
	for _, k := range proto.MemoryKinds() {
		if k.String() == name {
			return k, true
		}
	}
	return 0, false
}

func (s *store) kinds() []proto.MemoryCount {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []proto.MemoryCount
	for _, k := range proto.MemoryKinds() {
		c := s.counts[k]
		out = append(out, proto.MemoryCount{Kind: k.String(), Records: c.records, Bytes: c.bytes, Most: bounds(k).records})
	}
	return out
}

func (m *Memory) postForget(w http.ResponseWriter, r *http.Request) {
	var req proto.MemoryForget
	if err := admin.Decode(r, &req); err != nil {
		admin.Fail(w, http.StatusBadRequest, err.Error(), "")
		return
	}
	kind, ok := kindNamed(req.Kind)
	if !ok {
		noKind(w)
		return
	}
	s, err := m.ready(r.Context())
	if err != nil {
		admin.Fail(w, http.StatusServiceUnavailable, err.Error(), "the log says more: mtactl tail mtadb")
		return
	}
	how := exactly
	if req.Prefix {
		how = beginning
	}
	n, err := s.forget(kind, req.Key, how)
	if err != nil {
		admin.Fail(w, http.StatusInternalServerError, err.Error(), "")
		return
	}
	m.tellForgot(&proto.Forgot{Of: kind, Key: req.Key, Prefix: req.Prefix})
	m.log.Emit(event.State{Now: "forgot", Why: fmt.Sprintf("%d of kind %s, key %q, by order of uid %d", n, kind, req.Key, admin.Peer(r).UID)})
	admin.Answer(w, http.StatusOK, &proto.MemoryForgotten{Count: n})
}

// tellForgot tells who knows by himself what he has had kept here. He is told whether
// or not there was a record: there may be one on its way.
func (m *Memory) tellForgot(notice *proto.Forgot) {
	server := m.server.Load()
	if server == nil {
		return
	}
	for _, c := range server.Conns() {
		if !proto.MayKeep(proto.Service(c.Caller()), notice.Of) {
			continue
		}
		select {
		case <-c.Ready():
			_ = c.Notify(notice) // one that has gone asks again at its start
		default: // it has only just come
		}
	}
}
