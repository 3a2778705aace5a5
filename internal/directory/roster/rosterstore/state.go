package rosterstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/cited"
)

// KeepState stores a state of the directory, with a copy in the content store, and returns its
// digest. A state that comes back is stored once. From then on its rosters are cited, and are never
// deleted. Errors wrap [cited.ErrDamaged] if one is not stored: it was deleted since it was read,
// and there is a newer one. Several processes may store a state. A crash leaves a copy that
// Postgres does not name.
func (s *Store) KeepState(ctx context.Context, state roster.State) (roster.Digest, error) {
	digest := state.Digest()
	if err := s.keepState(ctx, digest, state); err != nil {
		return digest, fmt.Errorf("storing the state of the directory: %w", err)
	}
	return digest, nil
}

func (s *Store) keepState(ctx context.Context, digest roster.Digest, state roster.State) error {
	var kept bool
	err := s.Pool.QueryRow(ctx, `SELECT copied AND sha256(state) = digest FROM app.directory_states WHERE digest = $1`, digest[:]).Scan(&kept)
	if kept || err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	stored := state.Bytes()
	if err := s.Content.StoreDirectory(ctx, stored); err != nil {
		return err
	}
	return insertState(ctx, s.Pool, digest, stored, func(found int) error {
		if found < len(state) {
			return fmt.Errorf("%w: %d of %d", cited.ErrDamaged, len(state)-found, len(state))
		}
		return nil
	})
}

// insertState stores a state that has a copy in the content store, and marks its rosters as cited.
// check gets the number of those that are stored. A state that is stored is only written if it is
// damaged.
func insertState(ctx context.Context, pool *pgxpool.Pool, digest roster.Digest, stored []byte, check func(found int) error) error {
	state, err := roster.ParseState(stored)
	if err != nil {
		return err
	}
	roots := make([][]byte, len(state))
	for i := range state {
		roots[i] = state[i].Root[:]
	}
	return pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		var found int
		if err := tx.QueryRow(ctx, `SELECT app.cite_rosters($1)`, roots).Scan(&found); err != nil {
			return err
		}
		if err := check(found); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO app.directory_states (digest, state, copied) VALUES ($1, $2, true)
			ON CONFLICT (digest) DO UPDATE SET state = excluded.state, copied = true`, digest[:], stored)
		return err
	})
}

// restoreStates inserts the states of the directory that Postgres has lost. A damaged copy is
// logged: `postern verify` names the audiences whose state is missing.
func restoreStates(ctx context.Context, pool *pgxpool.Pool, from *content.Store) error {
	rows, err := pool.Query(ctx, `SELECT digest FROM app.directory_states WHERE copied`)
	if err != nil {
		return fmt.Errorf("looking for lost states of the directory: %w", err)
	}
	known := map[roster.Digest]bool{}
	var raw []byte
	if _, err := pgx.ForEachRow(rows, []any{&raw}, func() error { known[roster.Digest(raw)] = true; return nil }); err != nil {
		return fmt.Errorf("looking for lost states of the directory: %w", err)
	}
	for digest, err := range from.Directories(ctx) {
		if err != nil {
			return fmt.Errorf("listing the states of the directory in the content store: %w", err)
		}
		if known[digest] {
			continue
		}
		stored, err := from.Directory(ctx, digest)
		if errors.Is(err, content.ErrChanged) {
			slog.Error("the copy of a state of the directory was changed, and is not restored", "digest", roster.Digest(digest))
			continue
		}
		if err == nil {
			err = insertState(ctx, pool, digest, stored, func(int) error { return nil }) // lost ones may come back
		}
		if err != nil {
			return fmt.Errorf("restoring state %s of the directory: %w", roster.Digest(digest), err)
		}
	}
	return nil
}
