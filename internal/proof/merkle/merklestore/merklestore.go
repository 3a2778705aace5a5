// Package merklestore reads the hashes of the tree, and its signed checkpoints, from
// Postgres.
package merklestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/problem"
)

// Querier is a connection, a pool or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Hashes returns a reader of the tree's hashes in a table, for package tlog.
func Hashes(ctx context.Context, q Querier, table string) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		if len(indexes) == 0 {
			return nil, nil
		}
		rows, err := q.Query(ctx, `SELECT h.hash FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (idx, nr)
			JOIN `+table+` h USING (idx) ORDER BY nr`, indexes)
		if err != nil {
			return nil, fmt.Errorf("reading the tree: %w", err)
		}
		hashes, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
		if err != nil {
			return nil, fmt.Errorf("reading the tree: %w", err)
		}
		if len(hashes) != len(indexes) {
			return nil, fmt.Errorf("the tree lacks %d of its hashes: run `postern rebuild` to make it again from the record", len(indexes)-len(hashes))
		}
		read := make([]tlog.Hash, len(hashes))
		for i, h := range hashes {
			if len(h) != tlog.HashSize {
				return nil, fmt.Errorf("hash %d of the tree has %d bytes", indexes[i], len(h))
			}
			read[i] = tlog.Hash(h)
		}
		return read, nil
	})
}

// ErrUnsigned is the error if no checkpoint has been signed yet.
var ErrUnsigned = problem.NotFound.New("no checkpoint of the record has been signed yet: the first is signed within ten seconds of the first event")

// LatestCheckpoint returns the last signed checkpoint as text, or [ErrUnsigned].
func LatestCheckpoint(ctx context.Context, q Querier) (string, error) {
	return one(ctx, q, `SELECT signed FROM app.checkpoints ORDER BY nr DESC LIMIT 1`)
}

// CheckpointBefore returns the last checkpoint that was signed before a time as text, or
// [ErrUnsigned].
func CheckpointBefore(ctx context.Context, q Querier, before time.Time) (string, error) {
	return one(ctx, q, `SELECT signed FROM app.checkpoints WHERE signed_at < $1 ORDER BY nr DESC LIMIT 1`, before)
}

// CheckpointKeys returns the keys that verify checkpoints as text, one a line, the newest
// first, or [ErrUnsigned]. They come from the database: compare them with keys that you got
// from another source.
func CheckpointKeys(ctx context.Context, q Querier) (string, error) {
	return one(ctx, q, `SELECT string_agg(verifier || E'\n', '' ORDER BY nr DESC) FROM app.checkpoint_keys HAVING count(*) > 0`)
}

func one(ctx context.Context, q Querier, sql string, args ...any) (string, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return "", fmt.Errorf("reading checkpoints and keys: %w", err)
	}
	text, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	if errors.Is(err, pgx.ErrNoRows) {
		return "", ErrUnsigned
	}
	if err != nil {
		return "", fmt.Errorf("reading checkpoints and keys: %w", err)
	}
	return text, nil
}
