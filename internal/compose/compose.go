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

// Config has the dependencies of a [Composer]. Only Scanner may be nil.
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Content stores bodies and attachments, and Reader opens them.
	Content *content.Store
	Reader  *reader.Reader
	// Scanner scans every upload; nil means that uploads are not scanned.
	Scanner *clamd.Client
	// Facts records events, and waits until they are projected.
	Facts facts.Publisher
	// Intact returns an error while the record is damaged or not checked yet.
	Intact func(context.Context) error
}

// A Composer sends, cancels and recalls messages.
type Composer struct {
	cfg  Config
	pool *pgxpool.Pool

	counting mutex // held while groups are counted
	sizes    sizes // guarded by counting
}

// New makes a Composer. It does no I/O.
func New(cfg Config) *Composer {
	return &Composer{cfg: cfg, pool: cfg.Pool, counting: make(mutex, 1)}
}

var (
	// ErrNotSent is the error if it is unknown whether the message was sent. It is joined
	// with [facts.ErrUnavailable].
	ErrNotSent = problem.RecordUnavailable.New("the message was probably not sent. " +
		"Send it again with the same Idempotency-Key: it is sent once, even if this try succeeded")
	// ErrKeyReused is the error if the Idempotency-Key belongs to another request.
	ErrKeyReused = problem.KeyReused.New("this Idempotency-Key was used for another message: take a new key for a new message")
	// ErrTooLate is wrapped by the error if a message can't be cancelled or recalled.
	ErrTooLate = errors.New("too late")
)

// now returns the time in microseconds, the precision of the record and Postgres.
func (c *Composer) now() time.Time { return c.cfg.Facts.Time() }

// errNoEntryKey says that an event can't hide patients yet.
var errNoEntryKey = errors.New("the key that hides patients in events does not exist yet")

// mustBeRecordable refuses to send while the record is damaged or not checked yet; see
// `postern repair`. Only operators get the details, in /readyz. It also refuses picked patients
// until the first key of entries exists, which the API makes as soon as it has started: without it,
// the event could not carry them, and the message would state nothing.
func (c *Composer) mustBeRecordable(ctx context.Context, r Request) error {
	if err := c.cfg.Intact(ctx); err != nil {
		return errors.Join(facts.ErrUnavailable, err)
	}
	if !r.Recipients.Picks() {
		return nil
	}
	key, err := c.cfg.Facts.Key(ctx)
	if err == nil && key == nil {
		err = errNoEntryKey
	}
	if err != nil {
		return errors.Join(facts.ErrUnavailable, err)
	}
	return nil
}
