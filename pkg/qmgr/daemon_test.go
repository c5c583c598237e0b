package qmgr

import (
	"context"
	"testing"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/ipc"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/service"
	"filbert/pkg/service/servicetest"
	"filbert/pkg/settings"
	"filbert/pkg/spool"
)

// dispatchd stands for dispatch: it tells which messages it was asked to try.
type dispatchd struct {
	server *ipc.Server
	asked  chan queueid.ID
}

func (d *dispatchd) Open(p *service.Process) error {
	d.server = p.Accept(func(_ context.Context, c *ipc.Call) {
		if c.Kind == proto.KindOrders {
			c.Reply(&proto.OrdersTaken{})
			return
		}
		var m proto.Due
		if c.Decode(&m) != nil {
			return
		}
		c.Reply(&proto.Settled{State: proto.SettledGone})
		d.asked <- m.ID
	}, ipc.ServerOptions{})
	return nil
}

func (d *dispatchd) Confinement(*service.Process) privsep.Spec { return privsep.Spec{} }

func (d *dispatchd) Serve(ctx context.Context, p *service.Process) error {
	<-p.Draining()
	return d.server.Shutdown(ctx)
}

// A dispatch that is killed between filing a message and telling of it leaves a
// message that nobody knows: the one that comes after it has nothing to tell, as
// the record in the journal is done.
func TestMessageNobodyToldOfIsFoundWhenDispatchComesBack(t *testing.T) {
	s := settings.Default()
	s.Instance.Spool = t.TempDir()
	fs, err := durable.Open(s.Instance.Spool)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fs.Close() })
	if err := spool.Prepare(fs); err != nil {
		t.Fatal(err)
	}
	suite := servicetest.New(t, s, nil)
	r := &rig{t: t, q: New()}
	r.q.spool = spool.New(fs)
	r.file(1, "a@example.org", "b@x.example", noon) // long due
	asked := make(chan queueid.ID, 10)
	suite.Start(proto.Dispatch, &dispatchd{asked: asked})
	suite.Start(proto.QMgr, New())
	wanted(t, asked, 1)
	if err := suite.Stop(proto.Dispatch); err != nil {
		t.Fatal(err)
	}
	r.file(2, "a@example.org", "b@x.example", noon)
	suite.Start(proto.Dispatch, &dispatchd{asked: asked})
	wanted(t, asked, 2)
}

// wanted waits until dispatch is asked for a message.
func wanted(t *testing.T, asked <-chan queueid.ID, id queueid.ID) {
	t.Helper()
	tooLong := time.After(20 * time.Second)
	for {
		select {
		case got := <-asked:
			if got == id {
				return
			}
		case <-tooLong:
			t.Fatalf("dispatch is not asked for message %s", id)
		}
	}
}
