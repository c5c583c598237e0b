package smtp

import (
	"strings"
	"testing"
	"time"

	"filbert/pkg/untrusted"
)

const allWishes = ExtPriority | ExtFutureRelease | ExtDeliverBy

// mailWith parses MAIL with some parameters.
func mailWith(params string, ext Extensions) (MailParams, *Reply) {
	return ParseMail(untrusted.From("FROM:<a@x.example> "+params), ext)
}

// RFC 6710, section 7: priority-value; section 4.1: 501 5.5.2.
func TestPriorityIsOneDigitPerhapsWithAMinus(t *testing.T) {
	for text, want := range map[string]int8{"0": 0, "9": 9, "-9": -9, "-1": -1, "4": 4} {
		if m, r := mailWith("MT-PRIORITY="+text, allWishes); r != nil || m.Priority != want {
			t.Errorf("%s: got %d, %v", text, m.Priority, r)
		}
	}
	for _, text := range []string{"10", "-10", "+1", "-0", "01", "--1", "x"} {
		if _, r := mailWith("MT-PRIORITY="+text, allWishes); r == nil || r.Code != 501 || r.Status != (Status{5, 5, 2}) {
			t.Errorf("%q: %v", text, r)
		}
	}
	for _, text := range []string{"1 MT-PRIORITY=2", ""} {
		if _, r := mailWith("MT-PRIORITY="+text, allWishes); r == nil || r.Code != 501 {
			t.Errorf("%q: %v", text, r)
		}
	}
}

// RFC 4865, section 3: hold-param; section 4.2: one of them.
func TestHoldParameters(t *testing.T) {
	for text, want := range map[string]Hold{
		"HOLDFOR=1":                              {For: time.Second},
		"holdfor=999999999":                      {For: 999_999_999 * time.Second},
		"HOLDUNTIL=2026-12-01T10:00:00Z":         {Until: time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)},
		"HOLDUNTIL=2026-12-01T10:00:00.5Z":       {Until: time.Date(2026, 12, 1, 10, 0, 0, 5e8, time.UTC)},
		"HOLDUNTIL=2026-12-01T10:00:00+02:00":    {Until: time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)},
		"HOLDUNTIL=1999-12-01T10:00:00Z SIZE=10": {Until: time.Date(1999, 12, 1, 10, 0, 0, 0, time.UTC)},
	} {
		if m, r := mailWith(text, allWishes|ExtSize); r != nil || m.Hold != want {
			t.Errorf("%s: got %+v, %v", text, m.Hold, r)
		}
	}
	for _, text := range []string{
		"HOLDFOR=0", "HOLDFOR=01", "HOLDFOR=1000000000", "HOLDFOR=-1", "HOLDFOR=+1", "HOLDFOR=1h", "HOLDFOR",
		"HOLDUNTIL=2026-12-01T1:00:00Z", "HOLDUNTIL=2026-12-01T10:00:00,5Z", "HOLDUNTIL=2026-12-01T10:00:00.Z",
		"HOLDUNTIL=2026-12-01T10:00:00+25:00", "HOLDUNTIL=2026-12-01T10:00:00+0200", "HOLDUNTIL=2026-12-01T24:00:00Z",
		"HOLDUNTIL=2026-12-01", "HOLDUNTIL=2026-12-01T10:00:00", "HOLDUNTIL=2026-13-01T10:00:00Z", "HOLDUNTIL=1", "HOLDUNTIL",
		"HOLDUNTIL=2026-12-01T10:00:00." + strings.Repeat("0", 500) + "Z",
		"HOLDFOR=1 HOLDUNTIL=2026-12-01T10:00:00Z", "HOLDUNTIL=2026-12-01T10:00:00Z HOLDFOR=1", "HOLDFOR=1 HOLDFOR=1",
	} {
		if _, r := mailWith(text, allWishes); r == nil || r.Code != 501 || r.Status != (Status{5, 5, 4}) {
			t.Errorf("%.60q: %v", text, r)
		}
	}
}

// RFC 2852, section 4: by-value.
func TestByParameter(t *testing.T) {
	for text, want := range map[string]By{
		"60;R": {Mode: 'R', In: time.Minute}, "+60;r": {Mode: 'R', In: time.Minute}, "1;RT": {Mode: 'R', In: time.Second, Trace: true},
		"0;N": {Mode: 'N'}, "-5;N": {Mode: 'N', In: -5 * time.Second}, "999999999;nt": {Mode: 'N', In: 999_999_999 * time.Second, Trace: true},
	} {
		if m, r := mailWith("BY="+text, allWishes); r != nil || m.By != want {
			t.Errorf("%s: got %+v, %v", text, m.By, r)
		}
	}
	for _, text := range []string{
		"60", "60;", ";R", "60;X", "60;T", "60;TR", "60;RN", "60;RTT", "1000000000;N", "+-1;N", "--1;N", "1.5;N", "60;R;T", "-;N", "+;N",
		"0;R", "-1;R", // section 4: not with R
	} {
		if _, r := mailWith("BY="+text, allWishes); r == nil || r.Code != 501 || r.Status != (Status{5, 5, 4}) {
			t.Errorf("%s: %v", text, r)
		}
	}
}

// RFC 5321, section 4.1.1.11.
func TestWishThatWasNotOfferedIs555(t *testing.T) {
	for _, text := range []string{"MT-PRIORITY=1", "HOLDFOR=1", "HOLDUNTIL=2026-12-01T10:00:00Z", "BY=1;N"} {
		if _, r := mailWith(text, ExtSize|ExtDSN); r == nil || r.Code != 555 {
			t.Errorf("%s: %v", text, r)
		}
	}
}

func FuzzWishes(f *testing.F) {
	for _, s := range []string{"MT-PRIORITY=-9", "HOLDFOR=60", "HOLDUNTIL=2026-12-01T10:00:00Z", "BY=-60;NT", "BY=1;R HOLDFOR=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, params string) {
		m, r := mailWith(params, allWishes)
		if r != nil {
			return
		}
		if m.Priority < -9 || m.Priority > 9 || m.Hold.For != 0 && !m.Hold.Until.IsZero() || m.Hold.For < 0 ||
			m.By.Mode == 'R' && m.By.In <= 0 || m.By.In.Abs() > 999_999_999*time.Second {
			t.Errorf("%q: taken as %+v", params, m)
		}
	})
}

// RFC 2852, section 2: deliverby-param, which later documents may extend.
func TestLeastTimeOfAServerIsTheFirstOption(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"DELIVERBY": 0, "DELIVERBY 60": time.Minute, "DELIVERBY 60,x": time.Minute, "DELIVERBY ,x": 0, "DELIVERBY x": 0, "DELIVERBY 1000000000": 0,
	} {
		c := ParseCapabilities(ServerReply{Code: 250, Text: untrusted.From("mx.example\n" + line)})
		if !c.Extensions.Has(ExtDeliverBy) || c.ByMin != want {
			t.Errorf("%s: %+v", line, c)
		}
	}
}
