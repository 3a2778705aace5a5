package recorder

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/damage"
	"postern/internal/recorder/position"
	"postern/internal/recorder/project"
	"postern/internal/store"
)

const (
	// A standby asks this often whether it may lead.
	standbyPoll = 500 * time.Millisecond
	// turnEvery is how often an idle writer counts a turn.
	turnEvery = 250 * time.Millisecond
	// checkEvery is how often the active recorder compares the stream with the copy, and
	// repairedPoll how often while they differ.
	checkEvery   = time.Minute
	repairedPoll = time.Second
	// releaseTimeout bounds the release of the lease.
	releaseTimeout = time.Second
)

// leading is a Recorder that holds the lease. It records, and does all other work of the
// leader, until the lease is lost or anything fails.
type leading struct {
	*Recorder
	conn  *pgx.Conn
	lease *store.Lease

	turns   atomic.Int64 // of the writer's loop, including idle ones
	renewed int64        // turns when the lease was last renewed; only the goroutine that renews the lease uses it
	waiting atomic.Bool  // whether the writer waits for Postgres
}

func (r *Recorder) standByAndLead(ctx context.Context) error {
	pooled, err := r.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connecting to Postgres: %w", err)
	}
	// The leadership ends with the connection, at once.
	conn := pooled.Hijack()
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for {
		// A recorder that can't read the stream leaves the lead to one that can.
		lease, err := (*store.Lease)(nil), store.ErrLeaseTaken
		if r.Log.Connected() {
			lease, err = store.TakeLease(ctx, r.Pool, conn, store.LeaseRecorder)
		}
		if err == nil {
			// A commit does not wait for Postgres's disk: commits that a crash of Postgres
			// loses are still on the record, and are read from there again (docs/adr/0018).
			if _, err := conn.Exec(ctx, `SET search_path = record; SET synchronous_commit = off`); err != nil {
				return fmt.Errorf("preparing the connection: %w", err)
			}
			err := (&leading{Recorder: r, conn: conn, lease: lease}).run(ctx)
			// A process that starts after this must not take this recorder's verdict for
			// that of the current leader: see position.Watcher.Intact.
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
			defer cancel()
			_ = lease.Release(ending) // or it ends by itself
			return err
		}
		if !errors.Is(err, store.ErrLeaseTaken) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(standbyPoll):
		}
	}
}

func (l *leading) run(ctx context.Context) error {
	l.waiting.Store(true) // until there is a writer
	if l.Notary != nil {
		defer l.attestLast(ctx)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.lease.Keep(ctx, l.makesProgress) })
	group.Go(func() error {
		from, err := l.begin(ctx)
		if err != nil {
			return err
		}
		l.Logger.Info("recording", "from", from+1)
		read, runs := make(chan []*project.Prepared), make(chan []*project.Prepared)
		group.Go(func() error { return l.read(ctx, from+1, read) })
		group.Go(func() error { return gather(ctx, read, runs) })
		group.Go(func() error { return l.write(ctx, from, runs) })
		group.Go(func() error { return l.releaseDue(ctx) })
		group.Go(func() error { return l.relayOutbox(ctx) })
		group.Go(func() error { return l.keepChecking(ctx) })
		if l.Notary != nil {
			group.Go(func() error { return l.Notary.Run(ctx, l.lease) })
		}
		return nil
	})
	return group.Wait()
}

// begin waits until the stream matches its copy, and returns the position to continue from.
func (l *leading) begin(ctx context.Context) (uint64, error) {
	for logged := ""; ; {
		err := l.mustBeWhole(ctx)
		if !errors.Is(err, errDamaged) {
			if err != nil {
				return 0, err
			}
			break
		}
		if err.Error() != logged {
			logged = err.Error()
			l.Logger.Error("nothing is recorded", "error", err)
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(repairedPoll):
		}
	}
	at, err := position.Read(ctx, l.conn)
	if err != nil {
		return 0, err
	}
	if err := l.noticeLostClaims(ctx, at); err != nil {
		return 0, err
	}
	return at, project.BuildTree(ctx, l.conn, l, at)
}

// noticeLostClaims stops alerts if Postgres was restored from older files, until a notify
// worker has settled that (docs/adr/0071). The sign: Postgres has no claim for requests that
// the record names. The check comes before the position moves, because no sign is left
// afterwards. A crash of Postgres can lose commits of the recorder, but no claims.
func (l *leading) noticeLostClaims(ctx context.Context, at uint64) error {
	acked, err := l.Log.Acked(ctx, eventlog.NotifyBulk, eventlog.NotifyDirect)
	if err != nil || acked <= at {
		return err // no chunk was alerted that Postgres does not know
	}
	state, err := l.Log.State(ctx)
	if err != nil {
		return err
	}
	requests := []uuid.UUID{}
	err = damage.EachStored(ctx, l.Log, at+1, state.Last, func(s *merkle.Stored) {
		e, err := events.Parse(s.Header, s.Data)
		if err != nil || !e.Type.IsOutcome() {
			return
		}
		if o, err := events.Decode[events.AlertOutcome](e); err == nil {
			for _, r := range o.Requests {
				requests = append(requests, r.RequestID)
			}
		}
	}, func(uint64, uint64) {})
	if err != nil {
		return err
	}
	var lost bool
	if err := l.conn.QueryRow(ctx, `SELECT app.notice_lost_claims($1)`, requests).Scan(&lost); err != nil {
		return fmt.Errorf("looking for claims of alerts: %w", err)
	}
	if lost {
		l.Logger.Error("Postgres was restored to an earlier state: no alerts are sent until a notify worker has settled which ones may have been sent before", "position", at)
	}
	return nil
}

// makesProgress reports whether the writer has made a turn since the last call, or waits
// for Postgres, where another recorder would wait too. A recorder without a connection to
// NATS makes no progress: a standby may still have one.
func (l *leading) makesProgress() bool {
	turns := l.turns.Load()
	ok := l.Log.Connected() && (l.waiting.Load() || turns != l.renewed)
	l.renewed = turns
	return ok
}

// Begin begins a transaction that can commit only while the lease is held.
func (l *leading) Begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := l.conn.Begin(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.lease.Fence(ctx, tx); err != nil {
		return nil, errors.Join(err, tx.Rollback(context.WithoutCancel(ctx)))
	}
	return tx, nil
}

// attestLast signs a checkpoint of the events recorded since the last one, when the
// process ends.
func (l *leading) attestLast(ctx context.Context) {
	if ctx.Err() == nil {
		return // the lease was lost, or recording starts again
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := l.Notary.Attest(ctx, l.lease); err != nil {
		l.Logger.Error("signing the last checkpoint failed", "error", err)
	}
}

func (l *leading) write(ctx context.Context, position uint64, runs <-chan []*project.Prepared) error {
	turn := time.NewTicker(turnEvery)
	defer turn.Stop()
	l.waiting.Store(false)
	for {
		l.turns.Add(1)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-turn.C:
		case run := <-runs:
			began := time.Now()
			l.waiting.Store(true)
			err := project.Write(ctx, l, position, run)
			l.waiting.Store(false)
			if err != nil {
				return err
			}
			position = run[len(run)-1].Stored.Seq
			l.Recorded(began, eventsOf(run))
		}
	}
}
