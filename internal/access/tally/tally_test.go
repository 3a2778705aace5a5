package tally

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var minute = time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)

// sorted makes counts comparable.
func sorted(counts []Count[string]) []Count[string] {
	slices.SortFunc(counts, func(a, b Count[string]) int { return strings.Compare(a.Key, b.Key) })
	return counts
}

// The first of a key in a minute are reported by themselves, and the others are counted.
func TestTheFirstAreSingle(t *testing.T) {
	all := New[string](Rules{Single: 2, SingleInAll: 100, Keys: 10})
	for n, want := range []bool{true, true, false, false, false} {
		what := "wrong"
		if n == 4 {
			what = "unknown"
		}
		if got := all.Add(minute.Add(time.Duration(n)*time.Second), "a", "", what); got != want {
			t.Errorf("occurrence %d is reported by itself: %v", n+1, got)
		}
	}
	all.Add(minute, "b", "", "wrong")
	if got := all.Ended(minute.Add(59 * time.Second)); len(got) != 0 {
		t.Errorf("within the minute: %v", got)
	}
	want := []Count[string]{{"a", minute, 3, map[string]int{"wrong": 2, "unknown": 1}}}
	if diff := cmp.Diff(want, all.Ended(minute.Add(time.Minute))); diff != "" {
		t.Errorf("after the minute (-want +got):\n%s", diff)
	}
	if got := all.Ended(minute.Add(time.Hour)); len(got) != 0 {
		t.Errorf("a second time: %v", got)
	}
	if !all.Add(minute.Add(2*time.Minute), "a", "", "wrong") {
		t.Error("in another minute the first is not reported by itself")
	}
}

// All keys together have few that are reported by themselves.
func TestFewAreSingleInAll(t *testing.T) {
	all := New[string](Rules{Single: 2, SingleInAll: 5, Keys: 100})
	single := 0
	for n := range 50 {
		if all.Add(minute, fmt.Sprint(n), "", "wrong") {
			single++
		}
	}
	if got := all.All(); single != 5 || len(got) != 45 {
		t.Errorf("%d are reported by themselves, and %d keys are counted", single, len(got))
	}
}

// Keys beyond the limit are counted together, and no occurrence is lost.
func TestKeysAreLimited(t *testing.T) {
	all := New[string](Rules{Keys: 3})
	for n := range 10 {
		all.Add(minute, fmt.Sprint("key ", n), "", "wrong")
	}
	wrong := func(n int) map[string]int { return map[string]int{"wrong": n} }
	want := []Count[string]{{"", minute, 7, wrong(7)}, {"key 0", minute, 1, wrong(1)}, {"key 1", minute, 1, wrong(1)}, {"key 2", minute, 1, wrong(1)}}
	if diff := cmp.Diff(want, sorted(all.All())); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// A clock that is set back begins no other minute.
func TestAClockThatIsSetBack(t *testing.T) {
	all := New[string](Rules{Keys: 3})
	all.Add(minute.Add(time.Hour), "a", "", "wrong")
	all.Add(minute, "a", "", "wrong")
	want := []Count[string]{{"a", minute.Add(time.Hour), 2, map[string]int{"wrong": 2}}}
	if diff := cmp.Diff(want, all.All()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// Counts that no one takes fill no memory.
func TestEndedMinutesAreLimited(t *testing.T) {
	all := New[string](Rules{Keys: 3})
	for n := range 100 {
		all.Add(minute.Add(time.Duration(n)*time.Minute), "a", "", "wrong")
	}
	if got := all.All(); len(got) > mostEnded*3 {
		t.Errorf("%d are kept", len(got))
	}
}
