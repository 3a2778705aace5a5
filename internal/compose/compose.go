package compose

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access/policy"
	"postern/internal/content"
	"postern/internal/content/clamd"
	"postern/internal/content/reader"
	"postern/internal/events"
	"postern/internal/problem"
)

// Config is what a [Composer] works with. Only Scanner and Now may be left out.
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Content keeps bodies and attachments, and Reader opens them.
	Content *content.Store
	Reader  *reader.Reader
	// Scanner looks at every upload; nil: nothing is scanned.
	Scanner *clamd.Client
	// Publish puts events on the record, all or none of them, and returns the
	// sequence of the last once they are durable.
	Publish func(context.Context, ...events.Event) (last uint64, err error)
	// Wait returns once everything up to the sequence can be read in Postgres.
	Wait func(ctx context.Context, seq uint64) error
	// Whole gives an error while the record is not known to be whole.
	Whole func(context.Context) error
	// Source is the process, as events name it: "/api".
	Source string
	// Now is the clock of everything that is sent.
	Now func() time.Time
}

// A Composer sends messages and takes them back.
type Composer struct {
	cfg  Config
	pool *pgxpool.Pool

	counting turn  // of counting groups
	sizes    sizes // whose turn it is reads and writes them
}

// New makes a Composer. It does no I/O.
func New(cfg Config) *Composer {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Composer{cfg: cfg, pool: cfg.Pool, counting: make(turn, 1)}
}

// patience is how long somebody is kept waiting for what the recorder makes of a fact.
const patience = 10 * time.Second

var (
	// ErrUnavailable says that nothing can be put on the record now, or that it
	// is not known whether something was. The same request, with the same key,
	// is safe to repeat.
	ErrUnavailable = problem.RecordUnavailable.New("messages can't be recorded right now. Nothing is lost: try again in a moment")
	// ErrNotSent says, beside [ErrUnavailable], what became of a message that was to be sent.
	ErrNotSent = problem.RecordUnavailable.New("nothing was sent, as far as is known. " +
		"Send the message again with the same Idempotency-Key: it stays one message, whatever became of this try")
	// ErrKeyReused says that the Idempotency-Key belongs to another request.
	ErrKeyReused = problem.KeyReused.New("this Idempotency-Key was used for another message: take a new key for a new message")
	// ErrTooLate is wrapped where a message can't be taken back (any more).
	ErrTooLate = errors.New("too late")
)

// publish puts one fact on the record. Whatever keeps it off, or keeps us from
// knowing whether it is there, is [ErrUnavailable].
func (c *Composer) publish(ctx context.Context, by policy.Subject, at time.Time, body events.Body) (uint64, error) {
	e, err := events.New(c.cfg.Source, by.Actor(), at, body)
	if err != nil {
		return 0, err
	}
	seq, err := c.cfg.Publish(ctx, e)
	if err != nil {
		return 0, fmt.Errorf("%w: publishing %s: %w", ErrUnavailable, e.Type, err)
	}
	return seq, nil
}

// now is the time as the record and Postgres keep it: in microseconds.
func (c *Composer) now() time.Time { return c.cfg.Now().UTC().Truncate(time.Microsecond) }

// mustBeRecordable refuses to send while the record is not known to be whole; see
// `postern repair`. What exactly is wrong is for operators, in /readyz.
func (c *Composer) mustBeRecordable(ctx context.Context) error {
	if err := c.cfg.Whole(ctx); err != nil {
		return errors.Join(ErrUnavailable, err)
	}
	return nil
}
