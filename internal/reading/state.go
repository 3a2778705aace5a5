package reading

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/checkpoint"
)

// State is how the record stands: how long it is, and what is known to be whole.
type State struct {
	Events uint64
	// CheckedAt is when the recorder last held the stream against this copy, nil where
	// it has not yet; Whole is whether they agreed, and Fault what was wrong.
	CheckedAt *time.Time
	Whole     bool
	Fault     string
	// Signed is how many events the latest checkpoint proves, 0 without one, SignedAt
	// when it was signed, and Key the name of the key whose signature was verified. It
	// is "" where no known key has signed it.
	Signed   uint64
	SignedAt time.Time
	Key      string
}

// State tells how the record stands. It shows nothing of what is on it, and so is not
// on the record itself.
func (r *Room) State(ctx context.Context) (s State, err error) {
	var last int64
	var ok *bool
	var fault *string
	err = r.Pool.QueryRow(ctx, `SELECT p.seq, c.ok, c.detail, c.checked_at FROM record.position p LEFT JOIN app.record_check c ON true`).
		Scan(&last, &ok, &fault, &s.CheckedAt)
	if err != nil {
		return s, fmt.Errorf("reading the state of the record: %w", err)
	}
	s.Events = uint64(last) // #nosec G115 -- a sequence
	if ok != nil {
		s.Whole, s.Fault = *ok, *fault
	}
	return s, r.readCheckpoint(ctx, &s)
}

func (r *Room) readCheckpoint(ctx context.Context, s *State) error {
	var signed, verifiers string
	var at time.Time
	err := r.Pool.QueryRow(ctx, `SELECT signed, signed_at, (SELECT coalesce(string_agg(verifier, E'\n' ORDER BY nr), '') FROM app.checkpoint_keys)
		FROM app.checkpoints ORDER BY nr DESC LIMIT 1`).Scan(&signed, &at, &verifiers)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the latest checkpoint: %w", err)
	}
	s.SignedAt = at.UTC()
	known, err := checkpoint.ParseVerifiers(verifiers)
	if err != nil {
		return nil // a key that can't be read verifies nothing, and the page says so
	}
	if c, err := checkpoint.Open(signed, known); err == nil {
		s.Signed, s.Key = c.Size, c.Origin
	}
	return nil
}
