package envelope

import (
	"encoding/hex"
	"os"
	"reflect"
	"testing"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/untrusted"
	"filbert/pkg/wire"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func sample() *Envelope {
	return &Envelope{
		ID: 7, Source: FromSMTP, Arrived: noon, Sender: mailaddr.MustParse("a@x.example"),
		Recipients: []Recipient{{Address: mailaddr.MustParse("b@y.example"), Notify: NotifyDelay}},
		EnvID:      untrusted.From("id"), Size: 10, Hops: 1,
	}
}

func TestWishesSurviveEncoding(t *testing.T) {
	for _, w := range []Wishes{
		{},
		{Priority: -9},
		{Priority: 9, ReleaseAt: noon.Add(time.Hour)},
		{ReleaseAt: noon.Add(time.Hour), HoldFor: time.Hour},
		{DeliverBy: DeliverBy{Mode: ByReturn, At: noon.Add(time.Minute)}},
		{DeliverBy: DeliverBy{Mode: ByNotify, At: noon.Add(-time.Minute), Trace: true}},
	} {
		v := sample()
		v.Wishes = w
		got, err := Unmarshal(v.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, v) {
			t.Errorf("got %+v, want %+v", got.Wishes, w)
		}
	}
}

// A journal and a queue may have been written by an older version: the file has an
// envelope of version 2 as that version encoded it.
func TestEnvelopeOfTheVersionBeforeHasNoWishes(t *testing.T) {
	text, err := os.ReadFile("testdata/version2.hex")
	if err != nil {
		t.Fatal(err)
	}
	old, err := hex.DecodeString(string(text[:len(text)-1]))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Unmarshal(old)
	if err != nil {
		t.Fatal(err)
	}
	if want := sample(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEnvelopeOfVersion3KeepsItsWishes(t *testing.T) {
	text, err := os.ReadFile("testdata/version3.hex")
	if err != nil {
		t.Fatal(err)
	}
	old, err := hex.DecodeString(string(text[:len(text)-1]))
	if err != nil {
		t.Fatal(err)
	}
	want := sample()
	want.Wishes = Wishes{Priority: 3, ReleaseAt: noon.Add(time.Hour), DeliverBy: DeliverBy{Mode: ByNotify, At: noon.Add(2 * time.Hour), Trace: true}}
	if got, err := Unmarshal(old); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v (%v)", got, want, err)
	}
}

func TestWishOutOfRangeIsRefused(t *testing.T) {
	for _, w := range []Wishes{{Priority: 10}, {Priority: -10}, {DeliverBy: DeliverBy{Mode: 3}}, {HoldFor: MaxWait + time.Second}} {
		var e wire.Encoder
		w.EncodeTo(&e)
		d := wire.NewDecoder(e.Buf)
		new(Wishes).DecodeFrom(d)
		if d.Finish() == nil {
			t.Errorf("%+v is taken", w)
		}
	}
}

func TestTimesTooFarAwayAreNotValid(t *testing.T) {
	for _, c := range []struct {
		w    Wishes
		good bool
	}{
		{Wishes{ReleaseAt: noon.Add(MaxWait)}, true},
		{Wishes{ReleaseAt: noon.Add(MaxWait + 2*takesToCome)}, false},
		{Wishes{DeliverBy: DeliverBy{Mode: ByNotify, At: noon.Add(-MaxWait - time.Minute)}}, true}, // which it took to come
		{Wishes{DeliverBy: DeliverBy{Mode: ByNotify, At: noon.Add(-MaxWait - 2*takesToCome)}}, false},
	} {
		if got := c.w.Valid(noon); got != c.good {
			t.Errorf("%+v: valid %v", c.w, got)
		}
	}
}

// RFC 4865, section 4: what is counted from the arrival of other messages is counted
// from the release of one that was held, however it came about.
func TestTimeOfAMessageBeginsWithItsRelease(t *testing.T) {
	v := sample()
	if !v.Since(time.Time{}).Equal(noon) || v.IsHeld(time.Time{}, noon) {
		t.Error("a message that nobody held is held")
	}
	release, early := noon.Add(48*time.Hour), noon.Add(time.Hour)
	v.ReleaseAt = release
	if !v.Since(time.Time{}).Equal(release) || !v.Since(early).Equal(early) || !v.Since(release.Add(time.Hour)).Equal(release) {
		t.Error("the time begins at another moment")
	}
	if !v.IsHeld(time.Time{}, noon) || v.IsHeld(early, noon) || v.IsHeld(time.Time{}, release) {
		t.Error("held at the wrong times")
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(sample().Marshal())
	v := sample()
	v.Wishes = Wishes{Priority: 3, ReleaseAt: noon, DeliverBy: DeliverBy{Mode: ByNotify, At: noon}}
	f.Add(v.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := Unmarshal(b); err == nil {
			if again, err := Unmarshal(v.Marshal()); err != nil || !reflect.DeepEqual(again, v) {
				t.Errorf("decoded otherwise the second time: %v", err)
			}
		}
	})
}
