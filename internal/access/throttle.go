package access

import (
	"context"
	"sync"
	"time"

	"postern/internal/inbound"
)

// Purpose is the kind of a client's try. Each purpose has its own count.
type Purpose string

// The purposes.
const (
	SigningInStaff  Purpose = "sign-in of staff"
	SigningInPortal Purpose = "sign-in of portal users"
	AskingForLink   Purpose = "asking for a link"
	UsingLink       Purpose = "using a link"
	UsingLetter     Purpose = "using a letter"
	AtOrganisation  Purpose = "sign-in at the organisation"
)

const (
	triesPerMinute = 600     // a whole clinic may share one IP address
	mostCounted    = 1 << 17 // clients and purposes at a time
)

// Throttle counts a try by the network and purpose of the client in ctx. It refuses the
// try with [TooSoon] if there were too many within a minute, for example when a client
// tries one account after another. Guesses at one account are slowed down by the count of
// that account. Call it once the request has been parsed: an unreadable request is not
// counted. Outside of a request it counts nothing.
func (g *Gate) Throttle(ctx context.Context, purpose Purpose) error {
	client := inbound.Client(ctx)
	if !client.IsValid() {
		return nil
	}
	return g.tries.count(string(purpose)+" "+inbound.Network(client).String(), g.cfg.Facts.Now())
}

// throttleSignIn is Throttle for a sign-in. A browser in which this e-mail address has
// signed in before has its own count, which other clients in its network can't use up.
func (g *Gate) throttleSignIn(ctx context.Context, purpose Purpose, l lane) error {
	if g.knownBrowser(ctx, l) {
		return g.tries.count(string(purpose)+" "+string(l.key), g.cfg.Facts.Now())
	}
	return g.Throttle(ctx, purpose)
}

// tries counts tries by key in a sliding window of a minute: the count of the current
// minute, and of the previous minute's count the share that the window still covers. A
// restart resets the counts.
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
