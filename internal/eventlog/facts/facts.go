// Package facts publishes what a process has done, and waits until it can be read. Each
// package that records facts is given a [Publisher]; how long a request waits, and what
// it is told when the record can't be reached, is said here once.
package facts

import (
	"context"
	"fmt"
	"path"
	"time"

	"postern/internal/events"
	"postern/internal/problem"
)

// The deadlines of a request. Workers have those of package eventlog.
const (
	// RequestTimeout is how long a request waits for the record's acknowledgement. An
	// event that is acknowledged later was recorded all the same: the client that tries
	// again publishes the same fact, or finds it there.
	RequestTimeout = 3 * time.Second
	// ReadTimeout is how long a request waits until what it has published can be read,
	// where its answer depends on that.
	ReadTimeout = 10 * time.Second
	// CatchUp is how long an answer waits for the recorder where it does not depend on
	// it, so that the next request most often reads what this one did.
	CatchUp = 500 * time.Millisecond
)

// ErrUnavailable says that nothing can be recorded now, or that it is not known whether
// something was. The same request, with the same key, is safe to repeat.
var ErrUnavailable = problem.RecordUnavailable.New("messages can't be recorded right now. Nothing is lost: try again in a moment")

// Publisher publishes the facts of one process. It is safe for concurrent use.
type Publisher struct {
	// Source is the process, as events name it: "/api".
	Source string
	// Send puts events on the record, all or none of them, and returns the sequence of
	// the last once they are durable.
	Send func(context.Context, ...events.Event) (last uint64, err error)
	// Reached returns once everything up to the sequence can be read in Postgres; nil:
	// at once.
	Reached func(ctx context.Context, seq uint64) error
	// Clock is the clock of what is published; nil: time.Now.
	Clock func() time.Time
}

// Within is the publisher of requests: Send has until timeout.
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
		return time.Now()
	}
	return p.Clock()
}

// Time is the time as the record and Postgres keep it: UTC, in microseconds.
func (p Publisher) Time() time.Time { return p.Now().UTC().Truncate(time.Microsecond) }

// Process is the actor of what no person is known to have caused: "process:api".
func (p Publisher) Process() string { return "process:" + path.Base(p.Source) }

// Publish records what bodies say, as of one time and as one batch: all or none of them.
// It returns the sequence of the last. An error can mean that they were recorded, and
// that the acknowledgement was lost.
func (p Publisher) Publish(ctx context.Context, actor string, at time.Time, bodies ...events.Body) (uint64, error) {
	batch := make([]events.Event, len(bodies))
	for i, body := range bodies {
		var err error
		if batch[i], err = events.New(p.Source, actor, at, body); err != nil {
			return 0, err
		}
	}
	return p.Send(ctx, batch...)
}

// Record is [Publisher.Publish] of one fact for a person who waits: where the fact is
// not known to be recorded, the error wraps [ErrUnavailable].
func (p Publisher) Record(ctx context.Context, actor string, at time.Time, body events.Body) (uint64, error) {
	e, err := events.New(p.Source, actor, at, body)
	if err != nil {
		return 0, err
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
