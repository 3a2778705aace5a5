// Package recorder writes the record into Postgres: of all recorders one leads, reads the
// stream, writes its events in runs, signs checkpoints, releases messages that are due, and
// publishes what waits in the outbox. What an event changes is for package project.
package recorder

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/proof/merkle"
	"postern/internal/proof/signer"
	"postern/internal/recorder/project"
	"postern/internal/text/zone"
)

const (
	// shutdownTimeout bounds the signing of the last checkpoint when a process ends.
	shutdownTimeout = 5 * time.Second
	// While Postgres writes a run, the next run collects events, up to these bounds.
	maxRunEvents = 4096
	maxRunBytes  = 4 << 20
	// minBatchInterval is the least time between the starts of small runs: a transaction
	// costs about the same for one event as for thirty. A run of fullBytes, or the first
	// event after a pause, starts at once.
	minBatchInterval = 20 * time.Millisecond
	fullBytes        = 512 << 10
)

// Config holds a Recorder's dependencies.
type Config struct {
	Log    *eventlog.Log
	Pool   *pgxpool.Pool
	Logger *slog.Logger
	Now    func() time.Time // nil: zone.Now
	// Notary signs checkpoints of the recorded events; nil: no checkpoints are signed.
	Notary *signer.Signer
	// Recorded is called after each written run, with the time at which writing began;
	// nil: no call.
	Recorded func(began time.Time, run []events.Event)
}

// A Recorder projects the record into Postgres. Any number may run; one leads and the
// others stand by.
type Recorder struct{ Config }

// New makes a Recorder.
func New(c Config) *Recorder {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = zone.Now
	}
	if c.Recorded == nil {
		c.Recorded = func(time.Time, []events.Event) {}
	}
	return &Recorder{c}
}

// Run records until ctx ends, and retries after every fault of NATS and Postgres. When ctx
// ends, events that are not committed yet are left to the next leader: they can't be read
// before the commit, and the position says where to continue.
func (r *Recorder) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := r.standByAndLead(ctx); err != nil && ctx.Err() == nil {
			r.Logger.Warn("recording stopped, starting again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(standbyPoll):
		}
	}
	return nil
}

// read prepares events in stream order, ahead of the writer.
func (r *Recorder) read(ctx context.Context, from uint64, runs chan<- []*project.Prepared) error {
	return r.Log.Read(ctx, from, maxRunEvents, maxRunBytes, func(stored []eventlog.Stored) error {
		run := make([]*project.Prepared, 0, len(stored))
		for _, s := range stored {
			p, err := project.Prepare(merkle.Stored{Seq: s.Seq, Subject: s.Subject, Header: s.Header, Data: s.Data})
			if err != nil {
				return err
			}
			run = append(run, p)
		}
		select {
		case runs <- run:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// gather makes one run of all events that were read while the previous run was being
// written. A transaction costs about as much as a few thousand deliveries, so runs grow
// under load, and a single event does not wait for others.
func gather(ctx context.Context, read <-chan []*project.Prepared, runs chan<- []*project.Prepared) error {
	var waiting []*project.Prepared
	var last time.Time
	size := 0
	for {
		in, out := read, runs
		var rested <-chan time.Time
		if rest := minBatchInterval - time.Since(last); rest > 0 && size < fullBytes {
			rested, out = time.After(rest), nil
		}
		if len(waiting) == 0 {
			rested, out = nil, nil
		}
		if len(waiting) >= maxRunEvents || size >= maxRunBytes {
			in = nil
		}
		select {
		case run := <-in:
			waiting = append(waiting, run...)
			for _, p := range run {
				size += len(p.Stored.Data)
			}
		case out <- waiting:
			waiting, size, last = nil, 0, time.Now()
		case <-rested:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func eventsOf(run []*project.Prepared) []events.Event {
	evs := make([]events.Event, len(run))
	for i, p := range run {
		evs[i] = p.Event
	}
	return evs
}
