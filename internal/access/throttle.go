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

// Throttle counts a try of the client that ctx belongs to, by its network and purpose.
// It refuses the try as [TooSoon] where there were too many within a minute, as when a
// client tries one account after another; guesses at one account are slowed down by the
// count of that account. It is called once the request is known to be a try: a request
// that can't be read is not counted. Outside of a request it counts nothing.
func (g *Gate) Throttle(ctx context.Context, purpose Purpose) error {
	client := inbound.Client(ctx)
	if !client.IsValid() {
		return nil
	}
	return g.tries.count(string(purpose)+" "+inbound.Network(client).String(), g.cfg.Facts.Now())
}

// throttleSignIn is Throttle for a sign-in. A browser in which this e-mail address has
// signed in before has a count of its own, which others in its network can't use up.
func (g *Gate) throttleSignIn(ctx context.Context, purpose Purpose, l lane) error {
	if g.knows(ctx, l) {
		return g.tries.count(string(purpose)+" "+string(l.key), g.cfg.Facts.Now())
	}
	return g.Throttle(ctx, purpose)
}

// tries counts by key and minute, and adds a part of the minute before: as much of it as
// is left of the current minute. A restart resets the counts.
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
