package pace

import (
	"testing"

	"pgregory.net/rapid"
)

func anyCurve(t *rapid.T) LoadCurve {
	begin := rapid.Float64Range(0.1, 50).Draw(t, "begin")
	return LoadCurve{Begin: begin, Full: begin + rapid.Float64Range(0.1, 50).Draw(t, "more")}
}

func TestMoreLoadNeverLeavesMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyCurve(t)
		a := rapid.Float64Range(0, 200).Draw(t, "load")
		b := a + rapid.Float64Range(0, 100).Draw(t, "more")
		if x, y := c.Level(a), c.Level(b); x < y || x > Whole || y < step || x%step != 0 {
			t.Fatalf("%d at %v, %d at %v", x, a, y, b)
		}
	})
}

func TestLevelFallsAtOnceAndRisesByStepsToTheTop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, level := anyCurve(t), Whole
		for range rapid.IntRange(0, 50).Draw(t, "steps") {
			load := rapid.Float64Range(0, 120).Draw(t, "load")
			next := c.Next(level, load)
			if next > level+step || next > c.Level(load) || next < step {
				t.Fatalf("%d behind %d at %v, which is for %d", next, level, load, c.Level(load))
			}
			level = next
		}
		for range 10 {
			level = c.Next(level, 0)
		}
		if level != Whole {
			t.Fatalf("%d at rest", level)
		}
	})
}

// A load that stays just where a level ends does not make it swing.
func TestLevelDoesNotSwingAtItsEdge(t *testing.T) {
	c := LoadCurve{Begin: 10, Full: 20}
	level := c.Next(Whole, 10.5)
	for range 20 {
		if next := c.Next(level, 10); next != level {
			t.Fatalf("%d behind %d", next, level)
		}
		if next := c.Next(level, 10.5); next != level {
			t.Fatalf("%d behind %d", next, level)
		}
	}
}

func TestNothingIsEverLessThanOne(t *testing.T) {
	for level := step; level <= Whole; level += step {
		if Part(1, level) != 1 || Part(500, level) != 5*level {
			t.Errorf("at %d: %d and %d", level, Part(1, level), Part(500, level))
		}
	}
	if Part(20, 0) != 20 || StrangersLevel(0) != Whole || StrangersLevel(50) != Whole || StrangersLevel(10) != 20 {
		t.Error("a level that was never told, or strangers")
	}
	if (LoadCurve{}).Level(1000) != Whole {
		t.Error("without settings the limits are not fixed")
	}
}
