package access

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"postern/internal/access/policy"
	"postern/internal/access/tally"

	"github.com/google/uuid"

	"postern/internal/events"
)

// failureRules: five failures a minute from one source are events, as those of a person who has
// forgotten a password. If many sources fail, two hundred events a minute say so, and the rest is
// counted: at most a thousand events a minute, however many sources there are.
var failureRules = tally.Rules{Single: 5, SingleInAll: 200, Keys: 1000}

// refusalRules: a minute's refusals are counted for this many people.
var refusalRules = tally.Rules{Keys: 1000}

const (
	// fewRefusals is how many refusals of a person in a minute are not recorded: pages offer
	// nothing that is refused, but someone may follow an old link.
	fewRefusals = 10
	// publishEvery is how often it is asked whether a minute has ended.
	publishEvery = 5 * time.Second
	// lastPublish is how long the counts of the last minute may take when the process stops.
	lastPublish = 3 * time.Second
	// countsBatch is the most events that are published at once.
	countsBatch = 100
	// mostWaiting is the most events that wait while the record can't be reached.
	mostWaiting = 10_000
)

// counts are what happens too often for an event each. See package tally.
type counts struct {
	failures *tally.Tally[source]
	refusals *tally.Tally[person]

	mu      sync.Mutex // one publishes at a time
	waiting []events.Event
}

// A source is where failed sign-ins of a realm come from.
type source struct{ realm, network string }

// A person is an account whose actions are refused. The zero person is everyone beyond the limit.
type person struct {
	realm policy.Realm
	id    string
}

func newCounts() *counts {
	return &counts{failures: tally.New[source](failureRules), refusals: tally.New[person](refusalRules)}
}

// single reports whether a stranger's failure is an event. If it is not, single has counted it.
func (c *counts) single(at time.Time, fact events.SignIn) bool {
	return c.failures.Add(at, source{fact.Account, fact.Source}, source{realm: fact.Account}, fact.Reason)
}

// CountRefusal counts an error with which a request of ctx ended, if it is a [policy.Forbidden].
// A person who is refused more than a few actions in a minute is recorded; see [Gate.PublishCounts].
func (g *Gate) CountRefusal(ctx context.Context, err error) {
	denied := policy.Forbidden{}
	subject, unknown := policy.SubjectFrom(ctx)
	if unknown == nil && errors.As(err, &denied) {
		g.counts.refusals.Add(g.cfg.Facts.Now(), person{subject.Realm, subject.ID}, person{}, string(denied.Action))
	}
}

// RunCounts publishes counts after each minute, until ctx ends. Then it publishes those of the
// running minute. A crash loses these. It calls failed with each error, after which it tries
// again.
func (g *Gate) RunCounts(ctx context.Context, failed func(error)) {
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastPublish)
			defer cancel()
			if err := g.publishCounts(last, g.counts.failures.All(), g.counts.refusals.All()); err != nil {
				failed(err)
			}
			return
		case <-tick.C:
			if err := g.PublishCounts(ctx); err != nil && ctx.Err() == nil {
				failed(err)
			}
		}
	}
}

// PublishCounts publishes the counts of the minutes that have ended: for each source the sign-ins
// that failed and are no events of their own, and for each person the refused actions, if they are
// many. After an error the counts wait, in limited memory, for the next call.
func (g *Gate) PublishCounts(ctx context.Context) error {
	now := g.cfg.Facts.Now()
	return g.publishCounts(ctx, g.counts.failures.Ended(now), g.counts.refusals.Ended(now))
}

func (g *Gate) publishCounts(ctx context.Context, failures []tally.Count[source], refusals []tally.Count[person]) error {
	c := g.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	var faults []error
	add := func(actor string, body events.Body) {
		e, err := g.cfg.Facts.Event(ctx, actor, g.cfg.Facts.Now(), body)
		if err != nil {
			faults = append(faults, err)
			return
		}
		c.waiting = append(c.waiting, e)
	}
	for _, n := range failures {
		add(g.cfg.Facts.Process(), events.SignInsFailed{Tally: uuid.New(), Account: n.Key.realm, Source: n.Key.network,
			Minute: n.Minute.UTC(), Count: n.Number, ByReason: n.What})
	}
	for _, n := range refusals {
		if n.Number > fewRefusals && n.Key != (person{}) {
			add(policy.Subject{Realm: n.Key.realm, ID: n.Key.id}.Actor(), events.ActionsRefused{Tally: uuid.New(), Account: string(n.Key.realm), ID: n.Key.id,
				Minute: n.Minute.UTC(), Count: n.Number, Actions: slices.Sorted(maps.Keys(n.What))})
		}
	}
	for len(c.waiting) > 0 {
		batch := c.waiting[:min(len(c.waiting), countsBatch)]
		if _, err := g.cfg.Facts.Send(ctx, batch...); err != nil {
			faults = append(faults, err)
			break
		}
		c.waiting = c.waiting[len(batch):]
	}
	if over := len(c.waiting) - mostWaiting; over > 0 {
		faults = append(faults, fmt.Errorf("%d counts are lost, because too many wait", over))
		c.waiting = slices.Clone(c.waiting[over:])
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("recording counts of failed sign-ins and refused actions: %w", err)
	}
	return nil
}
