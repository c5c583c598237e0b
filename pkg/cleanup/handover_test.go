package cleanup

import (
	"testing"

	"filbert/pkg/proto"
)

func TestWhatWaitsForDispatchIsCountedAsItLiesInMemory(t *testing.T) {
	h := &handover{}
	m := &proto.Attempt{Content: proto.Content{Inline: make([]byte, 1<<20), Size: 1 << 20}}
	taken := 0
	for h.reserve(handoverCost(m, false)) {
		taken++
	}
	if most := handoverBudget / (copies << 20); taken != most {
		t.Errorf("%d messages of 1 MiB wait at once, want %d", taken, most)
	}
	if !h.missed {
		t.Error("what found no room is forgotten")
	}
}
