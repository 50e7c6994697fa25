package tlstfo

import (
	"runtime"
	"testing"
	"time"
)

var testEpoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// at is a stamp d after the test epoch on both clocks of one boot.
func at(d time.Duration) stamp {
	return stamp{wall: testEpoch.Add(d), boot: time.Hour + d, bootID: "boot-1"}
}

func TestStampAge(t *testing.T) {
	then := at(0)
	shifted := func(wall, boot time.Duration, id string) stamp {
		return stamp{wall: testEpoch.Add(wall), boot: time.Hour + boot, bootID: id}
	}
	for _, tt := range []struct {
		name    string
		now     stamp
		age     time.Duration
		trusted bool
	}{
		{"same moment", at(0), 0, true},
		{"later", at(90 * time.Second), 90 * time.Second, true},
		{"wall ahead within the gap", shifted(11*time.Second, 10*time.Second, "boot-1"), 10 * time.Second, true},
		{"wall ahead past the gap", shifted(11*time.Second+1, 10*time.Second, "boot-1"), 11*time.Second + 1, false},
		{"wall behind within the gap", shifted(9*time.Second, 10*time.Second, "boot-1"), 10 * time.Second, true},
		{"wall behind past the gap", shifted(9*time.Second-1, 10*time.Second, "boot-1"), 9*time.Second - 1, false},
		{"wall slewed below zero, running clock not", shifted(-5*time.Millisecond, 3*time.Millisecond, "boot-1"), 3 * time.Millisecond, true},
		{"running clock negative", shifted(0, -1, "boot-1"), 0, false},
		{"both negative", at(-time.Minute), 0, false},
		{"wall set back", shifted(-time.Hour, time.Second, "boot-1"), 0, false},
		{"another boot", shifted(time.Minute, time.Minute, "boot-2"), time.Minute, false},
		{"another boot, wall set back", shifted(-time.Minute, time.Minute, "boot-2"), 0, false},
		{"boot unknown now", shifted(time.Minute, 0, ""), time.Minute, false},
	} {
		if age, trusted := then.age(tt.now); age != tt.age || trusted != tt.trusted {
			t.Errorf("%s: age %v trusted %v, want %v %v", tt.name, age, trusted, tt.age, tt.trusted)
		}
	}
}

// Where no boot is named, Go's monotonic clock vouches for ages within one process, and for none across two.
func TestStampAgeWithoutBootID(t *testing.T) {
	wall := time.Now()
	if !monotonic(wall) || monotonic(wall.Round(0)) || monotonic(time.UnixMilli(wall.UnixMilli())) {
		t.Fatal("the monotonic reading is not recognised")
	}
	then, now := stamp{wall: wall}, stamp{wall: wall.Add(time.Minute)}
	if age, trusted := then.age(now); age != time.Minute || !trusted {
		t.Errorf("one process: age %v trusted %v", age, trusted)
	}
	then.wall = then.wall.Round(0) // as read back from a file
	if age, trusted := then.age(now); age != time.Minute || trusted {
		t.Errorf("two processes: age %v trusted %v", age, trusted)
	}
}

func TestSystemClock(t *testing.T) {
	var c clock
	a := c.now()
	time.Sleep(2 * time.Millisecond)
	b := c.now()
	if age, trusted := a.age(b); age < 2*time.Millisecond || !trusted {
		t.Errorf("age %v trusted %v, want at least 2ms and trusted", age, trusted)
	}
	if runtime.GOOS == "linux" || runtime.GOOS == "darwin" {
		if a.bootID == "" || a.boot <= 0 {
			t.Errorf("no boot clock: %+v", a)
		}
		var other clock // as another process would read it
		if o := other.now(); o.bootID != a.bootID || o.boot < b.boot {
			t.Errorf("two clocks of one boot disagree: %+v, %+v", a, o)
		}
	}
}
