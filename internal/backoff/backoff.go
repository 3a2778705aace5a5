// Package backoff has the waits between the tries of something that fails for a while, as
// requests to a server that starts again do.
package backoff

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// spread is the part by which a wait is longer or shorter at random, so that processes do not
// try at the same moment.
const spread = 0.25

// A Pause is the wait between two tries: 25 ms at first, twice as long each time up to two
// seconds, and a quarter more or less. It is for one goroutine.
type Pause struct{ backoff.ExponentialBackOff }

// NewPause gives the wait before a second try.
func NewPause() *Pause {
	return &Pause{backoff.ExponentialBackOff{InitialInterval: 25 * time.Millisecond, RandomizationFactor: spread,
		Multiplier: 2, MaxInterval: 2 * time.Second}}
}

// Jitter gives between three quarters and five quarters of d.
func Jitter(d time.Duration) time.Duration {
	return (&backoff.ExponentialBackOff{InitialInterval: d, RandomizationFactor: spread, Multiplier: 1, MaxInterval: d}).NextBackOff()
}

// Wait sleeps for the next pause, or returns the reason for which ctx ended.
func (p *Pause) Wait(ctx context.Context) error {
	timer := time.NewTimer(p.NextBackOff())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
