package query

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/problem"
)

// ErrNotFound says that the record has no such event, or no such export.
var ErrNotFound = problem.NotFound.New("there is no such thing on the record")

// Config is what a [Reader] works with.
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Facts records what is done, and waits until it can be read.
	Facts facts.Publisher
}

// Reader reads the record.
type Reader struct {
	cfg Config
}

// New makes a Reader. It does no I/O.
func New(cfg Config) *Reader { return &Reader{cfg: cfg} }

// An Actor is the person or process that the record is read for, as events name it:
// "staff:<id>" or "operator:<name>".
type Actor string

// recordRead puts a reading on the record. What was read may be shown only once it
// returned without an error.
func (r *Reader) recordRead(ctx context.Context, who Actor, what events.RecordRead) error {
	if _, _, err := r.publish(ctx, who, what); err != nil {
		return fmt.Errorf("recording that the record is read: %w", err)
	}
	return nil
}

func (r *Reader) publish(ctx context.Context, who Actor, body events.Body) (seq uint64, at time.Time, err error) {
	at = r.cfg.Facts.Time()
	seq, err = r.cfg.Facts.Publish(ctx, string(who), at, body)
	return seq, at, err
}

// newReading is a reading with an id of its own.
func newReading(what events.Reading, f Filter) events.RecordRead {
	return events.RecordRead{Reading: uuid.New(), What: what, Filter: f.onRecord()}
}
