package qmgr

import (
	"context"
	"net/http"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/service/admin"
	"filbert/pkg/untrusted"
)

// abort answers POST /v1/abort: the attempt of a message that is under way ends, the first
// attempt too, of which qmgr knows nothing.
func (q *Manager) abort(w http.ResponseWriter, r *http.Request) {
	var req proto.AbortRequest
	if err := admin.Decode(r, &req); err != nil {
		admin.Fail(w, http.StatusBadRequest, "the request can't be read: "+err.Error(), "")
		return
	}
	id, err := queueid.Parse(req.ID)
	if err != nil {
		admin.Fail(w, http.StatusBadRequest, "not a queue id: "+untrusted.From(req.ID).ForTerminal(), "mtactl ps shows what is under way")
		return
	}
	by := author{who: q.users.Who(r), reason: untrusted.From(req.Reason).ForHeader()}
	words := by.who
	if by.reason != "" {
		words += ": " + by.reason
	}
	ctx, cancel := context.WithTimeout(r.Context(), pushTimeout)
	defer cancel()
	var done proto.Aborted
	if err := q.dispatch.Call(ctx, &proto.Abort{ID: id, Hard: req.Hard, Reason: words}, &done); err != nil {
		admin.Fail(w, http.StatusServiceUnavailable, "dispatch does not answer: "+err.Error(), "mtactl status tells more")
		return
	}
	res := proto.AbortResult{UnderWay: done.UnderWay, First: done.First}
	if done.UnderWay {
		res.Since = time.UnixMilli(done.Since).UTC()
		q.log.Emit(event.OrderOf(id, "aborted", by.who, by.reason))
	}
	admin.Answer(w, http.StatusOK, &res)
}
