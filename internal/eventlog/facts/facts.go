// Package facts publishes facts (events that a process causes) and waits until they can be
// read. Each package that records facts takes a [Publisher]. The timeouts of requests, and
// the error for a record that can't be reached, are defined here once.
package facts

import (
	"context"
	"fmt"
	"path"
	"time"

	"postern/internal/events"
	"postern/internal/problem"
	"postern/internal/proof/salted"
	"postern/internal/text/zone"
)

// The deadlines of a request. Workers have those of package eventlog.
const (
	// RequestTimeout is how long a request waits for NATS to acknowledge an event. An
	// event that is acknowledged later is recorded all the same: a client that retries
	// publishes the same fact, or finds it recorded.
	RequestTimeout = 3 * time.Second
	// ReadTimeout is how long a request waits until its event can be read, where its
	// answer depends on that.
	ReadTimeout = 10 * time.Second
	// CatchUp is how long a request waits for the recorder where its answer does not
	// depend on it, so that the next request usually reads the change.
	CatchUp = 500 * time.Millisecond
)

// ErrUnavailable says that an event can't be recorded now, or that it is not known whether
// it was. The same request, with the same key, is safe to repeat.
var ErrUnavailable = problem.RecordUnavailable.New("messages can't be recorded right now. Nothing is lost: try again in a moment")

// Publisher publishes the facts of one process. It is safe for concurrent use.
type Publisher struct {
	// Source is the process, as events name it: "/api".
	Source string
	// Send records events, all or none of them, and returns the sequence of the last
	// once they are durable.
	Send func(context.Context, ...events.Event) (last uint64, err error)
	// Reached returns once everything up to the sequence can be read in Postgres; nil:
	// at once.
	Reached func(ctx context.Context, seq uint64) error
	// Clock gives the time of published events; nil: [zone.Now].
	Clock func() time.Time
	// EntryKey returns the key with which events hide the people that they name (see
	// events.Hide), or nil if there is none yet. If the field is nil, they hide no one.
	EntryKey func(context.Context) (*salted.PublicKey, error)
}

// Within returns a copy of the publisher whose Send gives up after timeout.
func (p Publisher) Within(timeout time.Duration) Publisher {
	send := p.Send
	p.Send = func(ctx context.Context, all ...events.Event) (uint64, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return send(ctx, all...)
	}
	return p
}

// Now is the time by the clock.
func (p Publisher) Now() time.Time {
	if p.Clock == nil {
		return zone.Now()
	}
	return p.Clock()
}

// Time is the time as the record and Postgres keep it: UTC, in microseconds.
func (p Publisher) Time() time.Time { return p.Now().UTC().Truncate(time.Microsecond) }

// Process is the actor of events that no known person caused: "process:api".
func (p Publisher) Process() string { return "process:" + path.Base(p.Source) }

// Key returns the result of EntryKey, nil without one.
func (p Publisher) Key(ctx context.Context) (*salted.PublicKey, error) {
	if p.EntryKey == nil {
		return nil, nil
	}
	return p.EntryKey(ctx)
}

// Event makes the event of a body, with the people that it names hidden.
func (p Publisher) Event(ctx context.Context, actor string, at time.Time, body events.Body) (events.Event, error) {
	if _, names := body.(events.Hiding); names {
		key, err := p.Key(ctx)
		if err != nil {
			return events.Event{}, err
		}
		if body, err = events.Hide(body, key); err != nil {
			return events.Event{}, err
		}
	}
	return events.New(p.Source, actor, at, body)
}

// Publish records bodies with one time and as one batch: all or none of them. It returns
// the sequence of the last. After an error they may be recorded all the same: the
// acknowledgement may have been lost.
func (p Publisher) Publish(ctx context.Context, actor string, at time.Time, bodies ...events.Body) (uint64, error) {
	batch := make([]events.Event, len(bodies))
	for i, body := range bodies {
		var err error
		if batch[i], err = p.Event(ctx, actor, at, body); err != nil {
			return 0, err
		}
	}
	return p.Send(ctx, batch...)
}

// Record is [Publisher.Publish] of one fact for a request. If it is not known whether the
// fact was recorded, the error wraps [ErrUnavailable].
func (p Publisher) Record(ctx context.Context, actor string, at time.Time, body events.Body) (uint64, error) {
	e, err := p.Event(ctx, actor, at, body)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	seq, err := p.Send(ctx, e)
	if err != nil {
		return 0, fmt.Errorf("%w: publishing %s: %w", ErrUnavailable, e.Type, err)
	}
	return seq, nil
}

// Wait returns once everything up to the sequence can be read in Postgres, or ctx ends.
func (p Publisher) Wait(ctx context.Context, seq uint64) error {
	if p.Reached == nil {
		return nil
	}
	return p.Reached(ctx, seq)
}

// WaitToRead is [Publisher.Wait] for [ReadTimeout]. Its error wraps [ErrUnavailable]: the
// fact is recorded, and the answer can't be given yet.
func (p Publisher) WaitToRead(ctx context.Context, seq uint64) error {
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	if err := p.Wait(ctx, seq); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}
