package access

import (
	"context"
	"sync"
	"time"

	"postern/internal/inbound"
)

// Purpose is what a client tries to do. Each has a count of its own: what is used up
// for one is not used up for another.
type Purpose string

// What clients are counted for.
const (
	SigningInStaff  Purpose = "sign-in of staff"
	SigningInPortal Purpose = "sign-in of portal users"
	AskingForLink   Purpose = "asking for a link"
	UsingLink       Purpose = "using a link"
	AtOrganisation  Purpose = "sign-in at the organisation"
)

const (
	triesPerMinute = 600     // a whole clinic may share one address
	mostCounted    = 1 << 17 // clients and purposes at a time
)

// Throttle counts a try of the client that ctx belongs to, by its network and purpose,
// and refuses it as [TooSoon] where there were too many within a minute: somebody tries
// one account after another. Guessing at one account is slowed down by its tries. It is
// called where a try is known to be one: junk that asks nothing of an account is not
// counted. Outside of a request it counts nothing.
func (g *Gate) Throttle(ctx context.Context, purpose Purpose) error {
	client := inbound.Client(ctx)
	if !client.IsValid() {
		return nil
	}
	return g.tries.count(string(purpose)+" "+inbound.Network(client).String(), g.cfg.Now())
}

// throttleSignIn is Throttle for who signs in. A browser in which this address has
// signed in before is counted by itself: nobody at the same address can use that up.
func (g *Gate) throttleSignIn(ctx context.Context, purpose Purpose, l lane) error {
	if g.knows(ctx, l) {
		return g.tries.count(string(purpose)+" "+string(l.key), g.cfg.Now())
	}
	return g.Throttle(ctx, purpose)
}

// tries counts by key and minute, and takes what is left of the minute before into
// account. What it forgets at a restart is counted anew.
type tries struct {
	mu          sync.Mutex
	minute      time.Time
	now, before map[string]int
}

func (t *tries) count(key string, at time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if minute := at.Truncate(time.Minute); minute != t.minute || len(t.now) >= mostCounted {
		t.before = t.now
		if minute.Sub(t.minute) > time.Minute {
			t.before = nil
		}
		t.minute, t.now = minute, map[string]int{}
	}
	left := t.minute.Add(time.Minute).Sub(at)
	if t.now[key]+int(float64(t.before[key])*left.Minutes()) >= triesPerMinute {
		return TooSoon{After: left}
	}
	t.now[key]++
	return nil
}
