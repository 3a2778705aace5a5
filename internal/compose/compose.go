package compose

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/content/clamd"
	"postern/internal/content/reader"
	"postern/internal/eventlog/facts"
	"postern/internal/problem"
)

// Config is what a [Composer] works with. Only Scanner may be left out.
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Content keeps bodies and attachments, and Reader opens them.
	Content *content.Store
	Reader  *reader.Reader
	// Scanner looks at every upload; nil: nothing is scanned.
	Scanner *clamd.Client
	// Facts records what is done, and waits until it can be read.
	Facts facts.Publisher
	// Whole gives an error while the record is not known to be whole.
	Whole func(context.Context) error
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
	return &Composer{cfg: cfg, pool: cfg.Pool, counting: make(turn, 1)}
}

var (
	// ErrNotSent says, beside [facts.ErrUnavailable], what became of a message that was to be sent.
	ErrNotSent = problem.RecordUnavailable.New("nothing was sent, as far as is known. " +
		"Send the message again with the same Idempotency-Key: it stays one message, whatever became of this try")
	// ErrKeyReused says that the Idempotency-Key belongs to another request.
	ErrKeyReused = problem.KeyReused.New("this Idempotency-Key was used for another message: take a new key for a new message")
	// ErrTooLate is wrapped where a message can't be taken back (any more).
	ErrTooLate = errors.New("too late")
)

// now is the time as the record and Postgres keep it: in microseconds.
func (c *Composer) now() time.Time { return c.cfg.Facts.Time() }

// mustBeRecordable refuses to send while the record is not known to be whole; see
// `postern repair`. What exactly is wrong is for operators, in /readyz.
func (c *Composer) mustBeRecordable(ctx context.Context) error {
	if err := c.cfg.Whole(ctx); err != nil {
		return errors.Join(facts.ErrUnavailable, err)
	}
	return nil
}
