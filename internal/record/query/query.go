package query

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/events"
	"postern/internal/problem"
)

// ErrNotFound says that the record has no such event, or no such export.
var ErrNotFound = problem.NotFound.New("there is no such thing on the record")

// A Room reads the record. Only Now may be left out.
type Reader struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Publish puts events on the record and returns the sequence of the last once
	// they are durable.
	Publish func(context.Context, ...events.Event) (last uint64, err error)
	// Source is the process, as events name it: "/api".
	Source string
	Now    func() time.Time
}

// A Reader is on whose behalf the record is read, as events name an actor:
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
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	e, err := events.New(r.Source, string(who), now(), body)
	if err != nil {
		return 0, at, err
	}
	seq, err = r.Publish(ctx, e)
	return seq, e.Time, err
}

// newReading is a reading with an id of its own.
func newReading(what events.Reading, f Filter) events.RecordRead {
	return events.RecordRead{Reading: uuid.New(), What: what, Filter: f.onRecord()}
}
