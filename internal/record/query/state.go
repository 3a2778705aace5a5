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

// State is the state of the record: its length, its last check and its latest checkpoint.
type State struct {
	Events uint64
	// CheckedAt is when the recorder last compared the stream with this copy, nil if it has
	// not yet; Whole is whether they were equal, and Fault the difference.
	CheckedAt *time.Time
	Whole     bool
	Fault     string
	// Signed is the number of events that the latest checkpoint proves, 0 without one;
	// SignedAt is when it was signed, and Key the name of the key that verified it, "" if no
	// known key did.
	Signed   uint64
	SignedAt time.Time
	Key      string
	// OtherTree is whether the tree over the events differs from the signed tree: then the
	// checkpoint does not prove these events.
	OtherTree bool
	// Waiting is the time of the first event that no checkpoint proves, zero if there is
	// none. A checkpoint is signed every ten seconds while the record grows.
	Waiting time.Time
}

// State returns the state of the record. It shows no events, so it is not recorded as a
// reading.
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
		return nil // an unreadable key verifies nothing; the page shows that
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

// readWaiting reads the time of the first event that no checkpoint proves.
func (r *Reader) readWaiting(ctx context.Context, s *State) error {
	err := r.cfg.Pool.QueryRow(ctx, `SELECT time FROM record.events WHERE seq > $1 AND time IS NOT NULL ORDER BY seq LIMIT 1`, int64(s.Signed)).Scan(&s.Waiting) // #nosec G115 -- a count
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("looking for events without a checkpoint: %w", err)
	}
	return nil
}
