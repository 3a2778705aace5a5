package pace

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Large work rests while small work comes in, twice as long as it has worked, and not otherwise.
func TestRest(t *testing.T) {
	for name, c := range map[string]struct {
		since  time.Duration // small work came in, negative: never
		worked time.Duration
		small  bool
		rest   time.Duration
	}{
		"alone":                   {since: -1, worked: 10 * time.Millisecond},
		"beside small work":       {since: 0, worked: 10 * time.Millisecond, small: true, rest: 20 * time.Millisecond},
		"until a second later":    {since: time.Second, worked: 10 * time.Millisecond, small: true, rest: 20 * time.Millisecond},
		"no longer":               {since: time.Second + 1, worked: 10 * time.Millisecond},
		"after a step that hung":  {since: 0, worked: time.Minute, small: true, rest: 250 * time.Millisecond},
		"after a step of no time": {since: 0, small: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &Pace{}
				if c.since >= 0 {
					p.Small()
					time.Sleep(c.since)
				}
				began := time.Now()
				small, err := p.Rest(t.Context(), c.worked)
				if rest := time.Since(began); small != c.small || rest != c.rest || err != nil {
					t.Errorf("rested %v (small work: %v, %v), want %v (%v)", rest, small, err, c.rest, c.small)
				}
			})
		})
	}
}

func TestARestEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Pace{}
		p.Small()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := p.Rest(ctx, time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
