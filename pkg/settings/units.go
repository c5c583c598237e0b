package settings

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time written with its unit: "90s", "15m", "4 hours",
// "5 days". Units: ms, s, m, h, d, w and their English names.
type Duration time.Duration

// D is the standard library's value.
func (d Duration) D() time.Duration { return time.Duration(d) }

var durationUnits = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "sec": time.Second, "second": time.Second,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute,
	"h": time.Hour, "hour": time.Hour, "d": 24 * time.Hour, "day": 24 * time.Hour,
	"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour,
}

// UnmarshalText reads "15m", "4 days", "1h30m".
func (d *Duration) UnmarshalText(b []byte) error {
	var total time.Duration
	err := eachQuantity(string(b), func(n float64, unit string) error {
		u, ok := durationUnits[unit]
		if !ok {
			u, ok = durationUnits[strings.TrimSuffix(unit, "s")]
		}
		if !ok {
			return fmt.Errorf("duration %q: no unit, or one that is not known (use s, m, h, days, weeks)", b)
		}
		if n*float64(u) > float64(100*365*24*time.Hour) {
			return fmt.Errorf("duration %q: too long", b)
		}
		total += time.Duration(n * float64(u))
		return nil
	})
	if err != nil {
		return err
	}
	*d = Duration(total)
	return nil
}

// MarshalText writes the largest unit that is exact.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String writes the largest unit that is exact.
func (d Duration) String() string {
	t := time.Duration(d)
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{" days", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if t != 0 && t%u.unit == 0 {
			if u.name == " days" && t == u.unit {
				return "1 day"
			}
			return strconv.FormatInt(int64(t/u.unit), 10) + u.name
		}
	}
	return strconv.FormatInt(t.Milliseconds(), 10) + "ms"
}

// Size is a number of bytes written with its unit: "50 MB", "64 KB", "2 GB"
// (powers of 1,024), or a bare number of bytes.
type Size int64

// Bytes is the plain number.
func (s Size) Bytes() int64 { return int64(s) }

var sizeUnits = map[string]float64{
	"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "mib": 1 << 20,
	"g": 1 << 30, "gb": 1 << 30, "gib": 1 << 30, "t": 1 << 40, "tb": 1 << 40, "tib": 1 << 40,
}

// UnmarshalText reads "50 MB".
func (s *Size) UnmarshalText(b []byte) error {
	var total float64
	err := eachQuantity(string(b), func(n float64, unit string) error {
		u, ok := sizeUnits[unit]
		if !ok {
			return fmt.Errorf("size %q: unit %q is not known (use KB, MB, GB)", b, unit)
		}
		total += n * u
		return nil
	})
	if err != nil {
		return err
	}
	if total > 1<<50 {
		return fmt.Errorf("size %q: too large", b)
	}
	*s = Size(total)
	return nil
}

// MarshalText writes the largest unit that is exact.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String writes the largest unit that is exact.
func (s Size) String() string {
	for _, u := range []struct {
		name string
		unit Size
	}{{" GB", 1 << 30}, {" MB", 1 << 20}, {" KB", 1 << 10}} {
		if s != 0 && s%u.unit == 0 {
			return strconv.FormatInt(int64(s/u.unit), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// eachQuantity takes "1h30m" or "4 days" apart: numbers, each with the unit
// behind it, lower case.
func eachQuantity(text string, fn func(n float64, unit string) error) error {
	rest := strings.ToLower(strings.TrimSpace(text))
	if rest == "" {
		return fmt.Errorf("empty quantity: a number and a unit are wanted")
	}
	for rest != "" {
		i := strings.IndexFunc(rest, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
		if i < 0 {
			i = len(rest)
		}
		n, err := strconv.ParseFloat(rest[:i], 64)
		if err != nil {
			return fmt.Errorf("quantity %q: a number is wanted first", text)
		}
		rest = strings.TrimSpace(rest[i:])
		j := strings.IndexFunc(rest, func(r rune) bool { return r < 'a' || r > 'z' })
		if j < 0 {
			j = len(rest)
		}
		unit := rest[:j]
		rest = strings.TrimSpace(rest[j:])
		if err := fn(n, unit); err != nil {
			return err
		}
	}
	return nil
}
