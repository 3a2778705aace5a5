package merkle

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ErrUnsigned is the error if no checkpoint has been signed yet.
var ErrUnsigned = errors.New("no checkpoint of the record has been signed yet: the first is signed within ten seconds of the first event")

// LatestCheckpoint returns the last signed checkpoint as text, or [ErrUnsigned].
func LatestCheckpoint(ctx context.Context, q Querier) (string, error) {
	return one(ctx, q, `SELECT signed FROM app.checkpoints ORDER BY nr DESC LIMIT 1`)
}

// CheckpointKeys returns the keys that verify checkpoints as text, one a line, the newest
// first, or [ErrUnsigned]. They come from the database: compare them with keys that you got
// from another source.
func CheckpointKeys(ctx context.Context, q Querier) (string, error) {
	return one(ctx, q, `SELECT string_agg(verifier || E'\n', '' ORDER BY nr DESC) FROM app.checkpoint_keys HAVING count(*) > 0`)
}

func one(ctx context.Context, q Querier, sql string) (string, error) {
	rows, err := q.Query(ctx, sql)
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
