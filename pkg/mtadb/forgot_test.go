package mtadb

import (
	"net/http"
	"testing"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

func TestWhoKeepsAKindIsToldWhatWasForgotten(t *testing.T) {
	s := instance(t)
	newLog(t, s)
	r := run(t, s)
	told := map[proto.Service]chan uint16{}
	for _, caller := range []proto.Service{proto.Dispatch, proto.Router} {
		notices := make(chan uint16, 10)
		told[caller] = notices
		cl := r.suite.Client(string(caller), proto.MTADB, ipc.ClientOptions{Stay: ipc.Always, OnNotice: func(kind uint16, _ []byte) { notices <- kind }})
		kind := map[proto.Service]proto.MemoryKind{proto.Dispatch: proto.MemoryHost, proto.Router: proto.MemoryCallout}[caller]
		if err := cl.Call(t.Context(), &proto.Recall{Of: kind}, &proto.Recalled{}); err != nil {
			t.Fatal(err)
		}
	}
	for caller, body := range map[proto.Service]string{proto.Dispatch: `{"kind":"host","key":"a"}`, proto.Router: `{"kind":"callout","key":"a"}`} {
		if status, answer := r.ask("c", "POST", "/v1/memory/forget", body); status != http.StatusOK {
			t.Fatalf("%d %s", status, answer)
		}
		if kind := <-told[caller]; kind != proto.KindForgot {
			t.Errorf("%s: notice %d", caller, kind)
		}
	}
	for caller, notices := range told {
		if len(notices) > 0 {
			t.Errorf("%s was told of what is another's", caller)
		}
	}
}
