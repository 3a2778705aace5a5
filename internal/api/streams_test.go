package api

import (
	"testing"

	"postern/internal/problem"
)

// A staff member, and all of them together, have a number of streams at a time. A stream that ends
// makes room for another.
func TestStreamsAreLimited(t *testing.T) {
	t.Parallel()
	var all streams
	var ends []func()
	for range mostStreamsOfOne {
		end, err := all.begin("staff:ada")
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end)
	}
	if _, err := all.begin("staff:ada"); problem.Of(err) == nil || problem.Of(err).Kind != problem.TooMany || problem.Of(err).RetryAfter <= 0 {
		t.Errorf("one more of the same: %v", err)
	}
	for n := all.all; n < mostStreams; n++ {
		if _, err := all.begin("staff:" + string(rune('a'+n/mostStreamsOfOne))); err != nil {
			t.Fatalf("stream %d: %v", n, err)
		}
	}
	if _, err := all.begin("staff:zoe"); err == nil {
		t.Error("there are more streams than there may be")
	}
	ends[0]()
	if _, err := all.begin("staff:zoe"); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
	for _, end := range ends[1:] {
		end()
	}
	if _, there := all.of["staff:ada"]; there || all.all != mostStreams-mostStreamsOfOne+1 {
		t.Errorf("%d are counted, %d of Ada", all.all, all.of["staff:ada"])
	}
}
