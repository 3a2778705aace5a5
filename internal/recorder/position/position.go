// Package position lets a process wait until the recorder has reached an event of the
// record: before that the event is stored but can't be read in Postgres.
//
// The recorder notifies the channel [Channel] in the transaction that moves its
// position. A [Watcher] listens on one connection of its own and also polls, so that
// a lost connection delays the waiters but never blocks them for good.
// Every method is safe to call from many goroutines at once.
package position

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Channel is the Postgres channel that carries the new position as decimal.
const Channel = "record_position"

// poll is how long a Watcher waits for a notification before it reads the position.
const poll = time.Second

// Read returns the recorder's position: the sequence of the last event that can be read
// in Postgres, 0 at the beginning.
func Read(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) (uint64, error) {
	var seq int64
	if err := q.QueryRow(ctx, `SELECT seq FROM record.position`).Scan(&seq); err != nil {
		return 0, fmt.Errorf("reading the recorder's position: %w", err)
	}
	return uint64(seq), nil // #nosec G115 -- never negative
}

// A Watcher follows the recorder's position.
type Watcher struct {
	pool *pgxpool.Pool
	log  *slog.Logger

	mu      sync.Mutex
	seq     uint64
	changed chan struct{} // closed and replaced when seq grows
	grew    time.Time     // when it last did, or the Watcher was made
	since   time.Time     // by Postgres's clock, when it first listened; zero: not yet
}

// NewWatcher makes a Watcher on pool. It follows the position only while [Watcher.Run] runs.
func NewWatcher(pool *pgxpool.Pool, log *slog.Logger) *Watcher {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Watcher{pool: pool, log: log, changed: make(chan struct{}), grew: time.Now()}
}

// Run listens until ctx ends. It reconnects after lost connections and restarts of Postgres.
func (w *Watcher) Run(ctx context.Context) error {
	for {
		err := w.listen(ctx)
		if ctx.Err() != nil {
			return nil
		}
		w.log.Warn("lost the recorder's position, listening again", "error", err)
		w.forget()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(poll):
		}
	}
}

func (w *Watcher) listen(ctx context.Context) error {
	conn, err := w.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	// A connection that listens must not go back to the pool.
	raw := conn.Hijack()
	defer func() { _ = raw.Close(context.WithoutCancel(ctx)) }()
	if _, err := raw.Exec(ctx, "LISTEN "+Channel); err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	if err := w.begin(ctx, raw); err != nil {
		return err
	}
	for {
		seq, err := Read(ctx, raw)
		if err != nil {
			return err
		}
		w.advance(seq)
		if err := w.follow(ctx, raw); err != nil {
			return err
		}
	}
}

// follow takes notifications until none comes for the time of poll.
func (w *Watcher) follow(ctx context.Context, conn *pgx.Conn) error {
	for {
		quiet, cancel := context.WithTimeout(ctx, poll)
		n, err := conn.WaitForNotification(quiet)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("waiting for a notification: %w", err)
		}
		if seq, err := strconv.ParseUint(n.Payload, 10, 64); err == nil {
			w.advance(seq)
		}
	}
}

// forget resets the position: Postgres may have lost its last commits in a crash. Waiters
// keep waiting until the position is read again.
func (w *Watcher) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seq = 0
}

func (w *Watcher) advance(seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if seq <= w.seq {
		return
	}
	w.seq, w.grew = seq, time.Now()
	close(w.changed)
	w.changed = make(chan struct{})
}

// Wait returns nil as soon as everything up to seq can be read, or ctx's error.
func (w *Watcher) Wait(ctx context.Context, seq uint64) error {
	for {
		w.mu.Lock()
		reached, changed := w.seq >= seq, w.changed
		w.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the recorder to reach event %d: %w", seq, ctx.Err())
		}
	}
}

// Changed returns a channel that is closed when the position next grows.
func (w *Watcher) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// Idle is the time since the position last grew, as far as this Watcher knows.
func (w *Watcher) Idle() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.grew)
}

// begin notes the time when this process first listened.
func (w *Watcher) begin(ctx context.Context, conn *pgx.Conn) error {
	var now time.Time
	if err := conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return fmt.Errorf("reading the time: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since.IsZero() {
		w.since = now
	}
	return nil
}

// Errors of [Watcher.Intact].
var (
	// ErrUnchecked says that no recorder that has led since this process began has
	// compared the stream with its copy: the state of the stream is not known.
	ErrUnchecked = errors.New("no recorder has checked the stream since this process began: is one running, and what does it log?")
	// ErrDamaged says that a recorder has found differences.
	ErrDamaged = errors.New("run `postern repair`")
)

// Intact returns nil where the present or last leading recorder found the stream undamaged
// and led while this process ran. A verdict from before that does not count: the stream may
// have been damaged since. The error wraps [ErrUnchecked] or [ErrDamaged].
func (w *Watcher) Intact(ctx context.Context) error {
	w.mu.Lock()
	since := w.since
	w.mu.Unlock()
	if since.IsZero() {
		return ErrUnchecked
	}
	var ok bool
	var detail string
	err := w.pool.QueryRow(ctx, `SELECT ok, detail FROM app.record_verdict WHERE checked_at >= $1 OR led_at >= $1`, since).Scan(&ok, &detail)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ErrUnchecked
	case err != nil:
		return fmt.Errorf("reading the state of the record: %w", err)
	case !ok:
		return fmt.Errorf("%s: %w", detail, ErrDamaged)
	}
	return nil
}

// DeleteVerdict deletes the verdict of an earlier start. Call it when starting the stores of a
// system whose recorder does not run yet. It connects as the login user.
func DeleteVerdict(ctx context.Context, databaseURL string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err == nil {
		_, err = conn.Exec(ctx, `DELETE FROM app.record_check`)
		err = errors.Join(err, conn.Close(ctx))
	}
	if err != nil {
		return fmt.Errorf("deleting the verdict of an earlier start: %w", err)
	}
	return nil
}
