// Package pace lets a blast leave room on a machine for small messages and for people at the
// portal.
//
// A blast can use all processors of a machine for some seconds. Each step of a small message then
// waits for many steps of the blast, and the message takes ten times as long as usual. So while
// small work comes in, large work rests after each of its steps, in proportion to what the step
// took. A blast that has the machine for itself never rests.
package pace

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// recently is how long after small work more of it is expected.
	recently = time.Second
	// share is how many times as long as its work large work rests: it then has a third of the
	// time.
	share = 2
	// longest limits a rest: a step may have been slow for another reason.
	longest = 250 * time.Millisecond
)

// A Pace knows whether small work comes in. The zero value knows of none. It is safe for
// concurrent use.
type Pace struct{ last atomic.Pointer[time.Time] }

// Small says that a small message, or a request of the portal, is being handled.
func (p *Pace) Small() {
	now := time.Now()
	p.last.Store(&now)
}

// Rest waits, if small work has come in during the last second, after a step of large work that
// took some time. It reports whether small work has come in, and returns the error of ctx if that
// ends during the wait.
func (p *Pace) Rest(ctx context.Context, worked time.Duration) (small bool, err error) {
	if last := p.last.Load(); last == nil || time.Since(*last) > recently {
		return false, ctx.Err()
	}
	select {
	case <-time.After(min(share*worked, longest)):
		return true, nil
	case <-ctx.Done():
		return true, ctx.Err()
	}
}
