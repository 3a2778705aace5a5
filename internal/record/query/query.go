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

// ErrNotFound is the error if the record has no such event or export.
var ErrNotFound = problem.NotFound.New("there is no such thing on the record")

// Config has the dependencies of a [Reader].
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Facts records events, and waits until they are projected.
	Facts facts.Publisher
}

// Reader reads the record.
type Reader struct {
	cfg Config
}

// New makes a Reader. It does no I/O.
func New(cfg Config) *Reader { return &Reader{cfg: cfg} }

// An Actor is the person or process that reads the record, as events name it:
// "staff:<id>" or "operator:<name>".
type Actor string

// recordRead records a reading. The data may be shown only if it returns no error.
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

// newReading returns a record.read event with a new id.
func newReading(what events.ReadKind, f Filter) events.RecordRead {
	return events.RecordRead{Reading: uuid.New(), What: what, Filter: f.onRecord()}
}
