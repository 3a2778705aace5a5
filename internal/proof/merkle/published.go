package merkle

import (
	"context"
	"errors"
	"fmt"

	"postern/internal/problem"

	"github.com/jackc/pgx/v5"
)

// ErrUnsigned says that no checkpoint has been signed yet.
var ErrUnsigned = problem.NotFound.New("no checkpoint of the record has been signed yet: one is within ten seconds of its first event")

// LatestCheckpoint gives the last signed checkpoint, as text, or [ErrUnsigned].
func LatestCheckpoint(ctx context.Context, q Querier) (string, error) {
	return one(ctx, q, `SELECT signed FROM app.checkpoints ORDER BY nr DESC LIMIT 1`)
}

// CheckpointKeys gives the keys that verify checkpoints, as text, one a line, the
// newest first, or [ErrUnsigned]. They are what the database says: hold them
// against those that you were given.
func CheckpointKeys(ctx context.Context, q Querier) (string, error) {
	return one(ctx, q, `SELECT string_agg(verifier || E'\n', '' ORDER BY nr DESC) FROM app.checkpoint_keys HAVING count(*) > 0`)
}

func one(ctx context.Context, q Querier, sql string) (string, error) {
	rows, err := q.Query(ctx, sql)
	if err != nil {
		return "", fmt.Errorf("reading what was signed: %w", err)
	}
	text, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	if errors.Is(err, pgx.ErrNoRows) {
		return "", ErrUnsigned
	}
	if err != nil {
		return "", fmt.Errorf("reading what was signed: %w", err)
	}
	return text, nil
}
