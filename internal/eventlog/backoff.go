package eventlog

import (
	"context"
	"math/rand/v2"
	"time"
)

// A backoff waits longer each time, and never quite as long as its neighbours.
type backoff struct{ next, most time.Duration }

func newBackoff() *backoff { return &backoff{next: 25 * time.Millisecond, most: 2 * time.Second} }

// wait sleeps for the next pause, or returns the reason for which ctx ended.
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

// jitter gives between three quarters and five quarters of d.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1) // #nosec G404 -- spreads retries, guards nothing
}
