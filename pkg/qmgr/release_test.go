package qmgr

import (
	"testing"

	"filbert/pkg/proto"
	"filbert/pkg/queueid"
)

func TestReleasesCountWhatIsDueEarlier(t *testing.T) {
	r := turnRig(t)
	up := &proto.Up{NextHops: []string{"far.test", "sub.far.test"}, IDs: []queueid.ID{4, 1, 99}}
	if n := r.q.sched.release(up, noon.UnixMilli()); n != 3 {
		t.Errorf("%d, want those of both next hops and one by its id, each once", n)
	}
	if n := r.q.sched.release(up, noon.UnixMilli()); n != 0 {
		t.Errorf("%d are due earlier than at once", n)
	}
}
