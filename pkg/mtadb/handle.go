package mtadb

import (
	"context"
	"fmt"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

// handle answers one call of another program. Who calls is known by the connection.
func (m *Memory) handle(ctx context.Context, call *ipc.Call) {
	var answer ipc.Message
	var err error
	switch call.Kind {
	case proto.KindRemember:
		answer, err = m.remember(ctx, call)
	case proto.KindRecall:
		answer, err = m.recall(ctx, call)
	case proto.KindForget:
		answer, err = m.forget(ctx, call)
	default:
		err = call.Violation(fmt.Errorf("call of unknown kind %d", call.Kind))
	}
	if err != nil {
		call.Refuse(err)
		return
	}
	call.Reply(answer)
}

func notYours(caller proto.Service, kind proto.MemoryKind) error {
	return fmt.Errorf("records of kind %d (%s) are no business of %s", kind, kind, caller)
}

func (m *Memory) remember(ctx context.Context, call *ipc.Call) (ipc.Message, error) {
	var req proto.Remember
	if err := call.Decode(&req); err != nil {
		return nil, err
	}
	caller := proto.Service(call.Caller)
	for i := range req.Records {
		if !proto.MayKeep(caller, req.Records[i].Kind) {
			return nil, notYours(caller, req.Records[i].Kind)
		}
	}
	if err := m.room(); err != nil {
		return nil, err
	}
	s, err := m.ready(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := s.remember(req.Records, m.now()); err != nil {
		return nil, err
	}
	// The caller forgets that it has something to say, and may be killed with us.
	// Callers gather what they have for a second, so that flushes stay few.
	if err := s.flush(); err != nil {
		return nil, err
	}
	m.remembered.Add(len(req.Records))
	m.batches.Took(time.Since(began))
	return &proto.Remembered{}, nil
}

// recallMost bounds the records of one answer.
const recallMost = 5000

func (m *Memory) recall(ctx context.Context, call *ipc.Call) (ipc.Message, error) {
	var req proto.Recall
	if err := call.Decode(&req); err != nil {
		return nil, err
	}
	if caller := proto.Service(call.Caller); !proto.MayKeep(caller, req.Of) {
		return nil, notYours(caller, req.Of)
	}
	s, err := m.ready(ctx)
	if err != nil {
		return nil, err
	}
	limit := recallMost
	if req.Limit > 0 {
		limit = min(limit, int(req.Limit))
	}
	page, more, err := s.recall(req.Of, req.Prefix, req.After, limit, m.now())
	if err != nil {
		return nil, err
	}
	answer := &proto.Recalled{More: more}
	for _, r := range page {
		answer.Records = append(answer.Records, proto.MemoryRecord{Kind: req.Of, Key: r.key, Value: r.data, Expires: r.expires})
	}
	return answer, nil
}

func (m *Memory) forget(ctx context.Context, call *ipc.Call) (ipc.Message, error) {
	var req proto.Forget
	if err := call.Decode(&req); err != nil {
		return nil, err
	}
	if caller := proto.Service(call.Caller); !proto.MayKeep(caller, req.Of) {
		return nil, notYours(caller, req.Of)
	}
	s, err := m.ready(ctx)
	if err != nil {
		return nil, err
	}
	how := exactly
	if req.Prefix {
		how = beginning
	}
	n, err := s.forget(req.Of, req.Key, how)
	return &proto.Forgotten{Count: n}, err
}
