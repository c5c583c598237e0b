package master

import (
	"context"
	"errors"
	"net/http"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/service/admin"
	"filbert/pkg/untrusted"
)

// explainTimeout leaves time for the lookups that routing makes.
const explainTimeout = 60 * time.Second

func (m *Master) postExplain(w http.ResponseWriter, r *http.Request) {
	var q proto.ExplainQuery
	if err := admin.Decode(r, &q); err != nil {
		admin.Fail(w, http.StatusBadRequest, err.Error(), "")
		return
	}
	query, err := q.Route()
	if err != nil {
		admin.Fail(w, http.StatusBadRequest, err.Error(), "")
		return
	}
	var answer proto.RouteAnswer
	if m.askRouter(w, r, query, &answer) {
		admin.Answer(w, http.StatusOK, answer.Explained())
	}
}

// postLookup asks a lookup for the administrator.
func (m *Master) postLookup(w http.ResponseWriter, r *http.Request) {
	var q proto.LookupQuestion
	if err := admin.Decode(r, &q); err != nil {
		admin.Fail(w, http.StatusBadRequest, err.Error(), "")
		return
	}
	m.mu.Lock()
	_, known := m.settings.Lookups[q.Name]
	m.mu.Unlock()
	if !known {
		admin.Fail(w, http.StatusNotFound, "there is no lookup "+untrusted.From(q.Name).ForTerminal(), "mtactl config show has all of them")
		return
	}
	var a proto.LookupAnswer
	if !m.askRouter(w, r, &proto.LookupQuery{Name: q.Name, Key: q.Key}, &a) {
		return
	}
	out := proto.LookupAnswered{Found: a.Found, Values: []string{}, Trouble: a.Trouble, Where: a.Where}
	for _, v := range a.Values {
		out.Values = append(out.Values, untrusted.From(v).ForTerminal())
	}
	admin.Answer(w, http.StatusOK, out)
}

// askRouter answers for router when it doesn't.
func (m *Master) askRouter(w http.ResponseWriter, r *http.Request, query, answer ipc.Message) bool {
	ctx, cancel := context.WithTimeout(r.Context(), explainTimeout)
	defer cancel()
	err := m.router.Call(ctx, query, answer)
	if err != nil {
		status := http.StatusBadGateway
		if errors.Is(err, context.DeadlineExceeded) {
			status = http.StatusGatewayTimeout
		}
		admin.Fail(w, status, "router: "+err.Error(), "see mtactl status")
	}
	return err == nil
}
