package verify

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"postern/internal/events"
	"postern/internal/proof/verify/audiences"
)

// audienceCheck checks audiences beside the walk over the events: the walk mostly waits for
// Postgres, and audiences mostly compute roots of rosters. Its results can be read after wait.
type audienceCheck struct {
	*audiences.Check
	events  chan ofAudience
	group   *errgroup.Group
	ctx     context.Context
	faults  []Fault
	missing []Fault
	misses  int
}

// ofAudience is an event of a message.
type ofAudience struct {
	seq   uint64
	event events.Event
	of    *audiences.Sent
}

// eventsAhead is how many events the walk may be ahead of the audiences: chunks of chosen people
// have a hundred kilobytes.
const eventsAhead = 64

// checkAudiences begins a check.
func checkAudiences(ctx context.Context, c audiences.Config) *audienceCheck {
	a := &audienceCheck{events: make(chan ofAudience, eventsAhead)}
	at := func(seq uint64, what string) Fault { return Fault{fmt.Sprintf("event %d", seq), seq, what} }
	c.Fault = func(seq uint64, what string) {
		if len(a.faults) < maxFaults {
			a.faults = append(a.faults, at(seq, what))
		}
	}
	c.Missing = func(seq uint64, what string) {
		if a.misses++; len(a.missing) < maxFaults {
			a.missing = append(a.missing, at(seq, what))
		}
	}
	a.Check = audiences.New(c)
	a.group, a.ctx = errgroup.WithContext(ctx)
	a.group.Go(func() error {
		for e := range a.events {
			if err := a.Event(a.ctx, e.seq, e.event, e.of); err != nil {
				return err
			}
		}
		return a.Evaluate(a.ctx)
	})
	return a
}

// add hands over an event, whose message no one else may use from then on. It returns the error of
// a check that has failed.
func (a *audienceCheck) add(e ofAudience) error {
	select {
	case a.events <- e:
		return nil
	case <-a.ctx.Done():
		return context.Cause(a.ctx)
	}
}

// wait ends the check. After it, add must not be called.
func (a *audienceCheck) wait() error {
	close(a.events)
	return a.group.Wait()
}
