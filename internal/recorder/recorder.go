package recorder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/proof/merkle"
	"postern/internal/proof/signer"
	"postern/internal/store"
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

var errOvertaken = errors.New("another recorder has written in between")

// Config holds a Recorder's dependencies.
type Config struct {
	Log    *eventlog.Log
	Pool   *pgxpool.Pool
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
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
		c.Now = time.Now
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
func (r *Recorder) read(ctx context.Context, from uint64, runs chan<- []*prepared) error {
	return r.Log.Read(ctx, from, maxRunEvents, maxRunBytes, func(stored []eventlog.Stored) error {
		run := make([]*prepared, 0, len(stored))
		for _, s := range stored {
			p, err := prepare(merkle.Stored{Seq: s.Seq, Subject: s.Subject, Header: s.Header, Data: s.Data})
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
func gather(ctx context.Context, read <-chan []*prepared, runs chan<- []*prepared) error {
	var waiting []*prepared
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
				size += len(p.stored.Data)
			}
		case out <- waiting:
			waiting, size, last = nil, 0, time.Now()
		case <-rested:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func eventsOf(run []*prepared) []events.Event {
	evs := make([]events.Event, len(run))
	for i, p := range run {
		evs[i] = p.event
	}
	return evs
}

// beginner is a connection, one under a lease, or a transaction in which another is
// nested.
type beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// record writes a run in one transaction. If Postgres refuses the data of an event, the
// events are written one at a time. The refused event is kept, hashed and parked but not
// projected, so it doesn't block the events after it.
func record(ctx context.Context, db beginner, position uint64, run []*prepared, park parker) error {
	err := commit(ctx, db, position, run, park)
	if !store.RefusedData(err) {
		return err
	}
	if len(run) == 1 {
		run[0].bad = fmt.Errorf("refused by the database: %w", err)
		return commit(ctx, db, position, run, park)
	}
	for _, p := range run {
		if err := record(ctx, db, position, []*prepared{p}, park); err != nil {
			return err
		}
		position = p.stored.Seq
	}
	return nil
}

// parker keeps an event that could not be projected for an operator to see, in
// the transaction that keeps the event. A rebuild parks nothing.
type parker func(context.Context, pgx.Tx, parkedRow) error

func commit(ctx context.Context, db beginner, position uint64, run []*prepared, park parker) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	parked, err := write(ctx, tx, position, run)
	if err != nil {
		return err
	}
	for i := 0; park != nil && i < len(parked); i++ {
		if err := park(ctx, tx, parked[i]); err != nil {
			return err
		}
	}
	// Step 6 of docs/life-of-a-message.md. After a crash before this line the run is not
	// recorded, and is read again; after this line its messages are in the inbox. A crash
	// of Postgres itself may lose the last commits together with their position: the next
	// leader writes them again.
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("committing events up to %d: %w", run[len(run)-1].stored.Seq, err)
	}
	return nil
}

func parkRow(ctx context.Context, tx pgx.Tx, row parkedRow) error {
	p := row.p
	var id, message *uuid.UUID
	if p.event.ID != uuid.Nil {
		id = &p.event.ID
	}
	if p.event.MessageID != uuid.Nil {
		message = &p.event.MessageID
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO app.parked (parked_id, consumer, seq, event_id, type, message_id, tries, reason)
		VALUES ($1, 'recorder', $2, $3, $4, $5, 1, $6) ON CONFLICT (consumer, seq) DO NOTHING`,
		uuid.New(), p.stored.Seq, id, string(p.event.Type), message, row.reason)
	if err != nil {
		return fmt.Errorf("parking event %d: %w", p.stored.Seq, err)
	}
	return nil
}
