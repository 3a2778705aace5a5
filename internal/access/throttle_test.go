package access

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// Each purpose of each client has its own count, which is a minute long wherever in the
// minute it begins.
func TestTriesAreCountedApart(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 30, 0, time.UTC)
	var all tries
	for n := range triesPerMinute {
		if err := all.count("sign-in 192.0.2.1/32", at); err != nil {
			t.Fatalf("try %d: %v", n, err)
		}
	}
	var soon TooSoon
	if err := all.count("sign-in 192.0.2.1/32", at); !errors.As(err, &soon) || soon.After <= 0 || soon.After > time.Minute {
		t.Errorf("one more: %v", err)
	}
	for _, other := range []string{"sign-in 192.0.2.2/32", "link 192.0.2.1/32"} {
		if err := all.count(other, at); err != nil {
			t.Errorf("%s: %v", other, err)
		}
	}
	// Half a minute later half of them still count, and two minutes later none.
	at = at.Add(time.Minute)
	for n := range triesPerMinute / 2 {
		if err := all.count("sign-in 192.0.2.1/32", at); err != nil {
			t.Fatalf("a minute later, try %d: %v", n, err)
		}
	}
	if err := all.count("sign-in 192.0.2.1/32", at); err == nil {
		t.Error("the minute before is forgotten")
	}
	if err := all.count("sign-in 192.0.2.1/32", at.Add(2*time.Minute)); err != nil {
		t.Errorf("two minutes later: %v", err)
	}
	// Strangers with many addresses fill no memory.
	for n := range 3 * mostCounted {
		_ = all.count(fmt.Sprint(n), at)
	}
	if len(all.now)+len(all.before) > 2*mostCounted {
		t.Errorf("%d are remembered", len(all.now)+len(all.before))
	}
}
