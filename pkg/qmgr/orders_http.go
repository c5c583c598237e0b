package qmgr

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/service/admin"
	"filbert/pkg/settings"
	"filbert/pkg/standing"
	"filbert/pkg/untrusted"
)

// listOrders answers GET /v1/orders.
func (q *Manager) listOrders(w http.ResponseWriter, _ *http.Request) {
	list := q.inForce()
	if list == nil {
		list = []proto.StandingOrder{}
	}
	admin.Answer(w, http.StatusOK, &proto.StandingOrders{Orders: list})
}

// giveOrder answers POST /v1/orders.
func (q *Manager) giveOrder(w http.ResponseWriter, r *http.Request) {
	var req proto.OrderRequest
	if err := admin.Decode(r, &req); err != nil {
		admin.Fail(w, http.StatusBadRequest, "the order can't be read: "+err.Error(), "")
		return
	}
	o := proto.StandingOrder{
		Kind: req.Kind, Target: req.Target, To: req.To, Value: req.Value,
		Who: q.users.Who(r), Reason: untrusted.From(req.Reason).ForHeader(), Made: q.now().UTC().Truncate(time.Millisecond),
	}
	if req.For != "" {
		end, err := q.endOf(req.For)
		if err != nil {
			admin.Fail(w, http.StatusBadRequest, err.Error(), "write it like 90m, 12h or '2 days'")
			return
		}
		o.Until = end
	}
	if err := standing.Check(&o); err != nil {
		admin.Fail(w, http.StatusBadRequest, err.Error(), "see mtactl order --help")
		return
	}
	o, err := q.addOrder(o)
	if err != nil {
		failOrder(w, err)
		return
	}
	admin.Answer(w, http.StatusOK, &o)
}

// endOf is when a time of so much will have passed.
func (q *Manager) endOf(text string) (time.Time, error) {
	var d settings.Duration
	if err := d.UnmarshalText([]byte(text)); err != nil {
		return time.Time{}, err
	}
	if d.D() <= 0 {
		return time.Time{}, errors.New("an order for no time does nothing")
	}
	return q.now().Add(d.D()).UTC().Truncate(time.Millisecond), nil
}

// endOrder answers POST /v1/orders/N/cancel.
func (q *Manager) endOrder(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	if err != nil {
		admin.Fail(w, http.StatusBadRequest, "an order has a number", "mtactl order list shows them")
		return
	}
	var req proto.CancelRequest
	if err := admin.Decode(r, &req); err != nil {
		admin.Fail(w, http.StatusBadRequest, "the request can't be read: "+err.Error(), "")
		return
	}
	o, err := q.cancelOrder(n, author{who: q.users.Who(r), reason: untrusted.From(req.Reason).ForHeader()})
	if err != nil {
		failOrder(w, err)
		return
	}
	admin.Answer(w, http.StatusOK, &o)
}

func failOrder(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errNoOrder):
		admin.Fail(w, http.StatusNotFound, err.Error(), "mtactl order list shows those in force")
	case errors.Is(err, errTooManyOrders):
		admin.Fail(w, http.StatusConflict, err.Error(), "mtactl order list shows them")
	default:
		admin.Fail(w, http.StatusInternalServerError, err.Error(), "the orders stay as they were")
	}
}
