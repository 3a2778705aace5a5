package query

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/proof/checkpoint"
	"postern/internal/proof/merkle"
	"postern/internal/proof/merkle/merklestore"
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
	// OtherTree is whether the tree over the events is another than the one that was
	// signed: then they are not those that it proves.
	OtherTree bool
	// Waiting is when the first event that no checkpoint proves came about, zero where
	// there is none. One is signed every ten seconds while the record grows.
	Waiting time.Time
}

// State tells how the record stands. It shows nothing of what is on it, and so is not
// on the record itself.
func (r *Reader) State(ctx context.Context) (s State, err error) {
	var last int64
	var ok *bool
	var fault *string
	err = r.cfg.Pool.QueryRow(ctx, `SELECT p.seq, c.ok, c.detail, c.checked_at FROM record.position p LEFT JOIN app.record_verdict c ON true`).
		Scan(&last, &ok, &fault, &s.CheckedAt)
	if err != nil {
		return s, fmt.Errorf("reading the state of the record: %w", err)
	}
	s.Events = uint64(last) // #nosec G115 -- a sequence
	if ok != nil {
		s.Whole, s.Fault = *ok, *fault
	}
	if err := r.readCheckpoint(ctx, &s); err != nil {
		return s, err
	}
	return s, r.readWaiting(ctx, &s)
}

func (r *Reader) readCheckpoint(ctx context.Context, s *State) error {
	var signed, verifiers string
	var at time.Time
	err := r.cfg.Pool.QueryRow(ctx, `SELECT signed, signed_at, (SELECT coalesce(string_agg(verifier, E'\n' ORDER BY nr), '') FROM app.checkpoint_keys)
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
	c, err := checkpoint.Open(signed, known)
	if err != nil {
		return nil
	}
	s.Signed, s.Key = c.Size, c.Origin
	tree, err := merkle.TreeAt(int64(c.Size), merklestore.Hashes(ctx, r.cfg.Pool, "record.hashes")) // #nosec G115 -- parsed as 63 bits
	s.OtherTree = err != nil || tree.Root() != c.Root
	if ctx.Err() != nil {
		return fmt.Errorf("reading the tree: %w", ctx.Err())
	}
	return nil
}

// readWaiting finds since when events have been waiting for a checkpoint.
func (r *Reader) readWaiting(ctx context.Context, s *State) error {
	err := r.cfg.Pool.QueryRow(ctx, `SELECT time FROM record.events WHERE seq > $1 AND time IS NOT NULL ORDER BY seq LIMIT 1`, int64(s.Signed)).Scan(&s.Waiting) // #nosec G115 -- a count
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("reading what waits for a checkpoint: %w", err)
	}
	return nil
}
