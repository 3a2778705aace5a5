package eventlog

import (
	"context"
	"math/rand/v2"
	"time"
)

// A backoff is an exponential backoff with jitter, from 25 ms to 2 s.
type backoff struct{ next, most time.Duration }

func newBackoff() *backoff { return &backoff{next: 25 * time.Millisecond, most: 2 * time.Second} }

// wait sleeps for the next pause, or returns ctx's error if ctx ends first.
func (b *backoff) wait(ctx context.Context) error {
	pause := time.NewTimer(jitter(b.next))
	defer pause.Stop()
	b.next = min(2*b.next, b.most)
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// jitter gives a random duration between 75% and 125% of d.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1) // #nosec G404 -- spreads retries, guards nothing
}
