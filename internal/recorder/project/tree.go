package project

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/proof/merkle"
	"postern/internal/proof/merkle/merklestore"
)

// growTree appends the leaves of the batch to the Merkle tree, in the transaction
// that keeps the events: the tree covers exactly the kept events. It reads the tree's
// right edge, some ten hashes, and writes about two hashes an event.
func (b *batch) growTree() error {
	from := int64(b.from) // #nosec G115 -- a sequence
	tree, err := merkle.TreeAt(from, merklestore.Hashes(b.ctx, b.tx, "hashes"))
	if err != nil {
		return err
	}
	next := tlog.StoredHashIndex(0, from)
	rows := make([][]any, 0, 2*len(b.events))
	for _, p := range b.events {
		for _, h := range tree.Append(p.Leaf) {
			rows = append(rows, []any{next, h[:]})
			next++
		}
	}
	return b.insert("hashes", []string{"idx", "hash"}, rows)
}

// BuildTree builds the tree of a record that was kept before there was a tree, in one
// transaction of db. It does nothing where a tree exists.
func BuildTree(ctx context.Context, conn *pgx.Conn, db Beginner, position uint64) error {
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM hashes)`).Scan(&exists); err != nil {
		return fmt.Errorf("looking for the tree: %w", err)
	}
	if exists || position == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, `SELECT leaf FROM events WHERE seq <= $1 ORDER BY seq`, position)
	if err != nil {
		return fmt.Errorf("reading the leaves: %w", err)
	}
	leaves, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return fmt.Errorf("reading the leaves: %w", err)
	}
	b := &batch{ctx: ctx}
	for _, leaf := range leaves {
		b.events = append(b.events, &Prepared{Leaf: tlog.Hash(leaf)})
	}
	err = pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		b.tx = tx
		return errors.Join(b.growTree(), b.send())
	})
	if err != nil {
		return fmt.Errorf("building the tree: %w", err)
	}
	return nil
}
