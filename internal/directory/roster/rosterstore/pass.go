package rosterstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory/block"
	"postern/internal/directory/roster"
	"postern/internal/store"
)

// interval is how often [Store.Run] looks for dirty blocks.
const interval = 2 * time.Second

// Run makes the rosters of dirty blocks until ctx ends, and restores rosters at the start and after
// a failover of Postgres. If there is nothing to do, it costs one small query each time. After an
// error it logs it and tries again.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	restored := "" // the timeline of Postgres on which no roster is missing
	for {
		if err := s.restoreOn(ctx, &restored); err != nil && ctx.Err() == nil {
			s.Logger.Warn("can't look for rosters that Postgres has lost, trying again", "error", err)
		}
		if _, err := s.Pass(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Warn("can't make the rosters of the directory, trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// restoreOn restores the rosters that Postgres has lost, once for each timeline.
func (s *Store) restoreOn(ctx context.Context, restored *string) error {
	var timeline string
	if err := s.Pool.QueryRow(ctx, `SELECT app.timeline()`).Scan(&timeline); err != nil || timeline == *restored {
		return err
	}
	if err := Restore(ctx, s.Pool, s.Content); err != nil {
		return err
	}
	*restored = timeline
	return nil
}

// lockPasses lets one pass at a time read and write. If the process hangs, Postgres ends its
// transaction, which frees the lock. The transaction is idle while the snapshot is read, and only
// shortly after it has locked the marks, for which imports wait.
const (
	waitForRead = `SET LOCAL idle_in_transaction_session_timeout = '5min'`
	lockPasses  = `SELECT pg_try_advisory_xact_lock(` + store.LockRosters + `)`
	waitForLast = `SET LOCAL idle_in_transaction_session_timeout = '15s'`
)

// Pass makes the rosters of all dirty blocks, makes them current, and returns their number. If
// another pass is running, it returns 0: that pass, or the next one, makes them. A block that
// changes during the pass stays dirty.
//
// The pass is one transaction. A crash at any line leaves the blocks dirty, and the next pass
// makes the same rosters.
func (s *Store) Pass(ctx context.Context) (made int, err error) {
	var any bool
	if err := s.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM app.dirty_blocks)`).Scan(&any); err != nil || !any {
		return 0, wrapped(err)
	}
	err = pgx.BeginTxFunc(ctx, s.Pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, waitForRead); err != nil {
			return err
		}
		var mine bool
		if err := tx.QueryRow(ctx, lockPasses).Scan(&mine); err != nil || !mine {
			return err
		}
		rosters, dirty, err := s.buildDirty(ctx)
		if err != nil {
			return err
		}
		roots, err := s.put(ctx, tx, rosters)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, waitForLast); err != nil {
			return err
		}
		made = len(rosters)
		return setCurrent(ctx, tx, dirty, rosters, roots)
	})
	if err != nil {
		return 0, wrapped(err)
	}
	if made >= vacuumFrom && s.Vacuum != nil {
		if err := s.Vacuum(ctx, "app.roster_facts", "app.roster_names", "app.rosters", "app.block_rosters", "app.dirty_blocks"); err != nil {
			s.Logger.Warn("the tables of the rosters were not vacuumed", "error", err)
		}
	}
	return made, nil
}

func wrapped(err error) error {
	if err != nil {
		return fmt.Errorf("making the rosters of the directory: %w", err)
	}
	return nil
}

// vacuumFrom is the number of blocks from which on a pass vacuums what it wrote: otherwise
// autovacuum does it during the next message to a group.
const vacuumFrom = 10_000 / block.Size

// buildDirty returns the rosters of the dirty blocks of one snapshot, in order, and the dirty
// blocks with their marks. A dirty block without portal users has no roster.
func (s *Store) buildDirty(ctx context.Context) (rosters []roster.Roster, dirty []listed, err error) {
	snapshot, err := Open(ctx, s.Pool)
	if err != nil {
		return nil, nil, err
	}
	defer snapshot.Close(ctx)
	if err := snapshot.list(ctx); err != nil {
		return nil, nil, err
	}
	dirty = slices.DeleteFunc(slices.Clone(snapshot.blocks), func(l listed) bool { return !l.dirty })
	if snapshot.mostlyDirty() {
		err = snapshot.scan(ctx, func(b *Block) bool {
			if b.Built() {
				rosters = append(rosters, b.Roster)
			}
			return true
		})
		return rosters, dirty, err
	}
	blocks := make([]block.No, len(dirty))
	for i, l := range dirty {
		blocks[i] = l.no
	}
	err = snapshot.build(ctx, blocks, func(r roster.Roster) bool {
		rosters = append(rosters, r)
		return true
	})
	return rosters, dirty, err
}

// setCurrent makes rosters current and deletes the marks of their blocks, for the blocks whose
// mark is still the one of the snapshot. A mark that is locked belongs to a change that is about
// to commit: its block is passed over, and nothing here waits for an import.
func setCurrent(ctx context.Context, tx pgx.Tx, dirty []listed, rosters []roster.Roster, roots []roster.Digest) error {
	blocks, marks, rootOf := make([]int32, len(dirty)), make([]int64, len(dirty)), make([][]byte, len(dirty))
	i := 0
	for at, l := range dirty {
		blocks[at], marks[at] = int32(l.no), l.mark
		if i < len(rosters) && rosters[i].Block == l.no {
			rootOf[at] = roots[i][:]
			i++
		}
	}
	_, err := tx.Exec(ctx, `
		WITH seen AS (
		    SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bytea[]) AS s(block, mark, root)
		), clean AS MATERIALIZED (
		    SELECT d.block, seen.root FROM app.dirty_blocks d JOIN seen ON seen.block = d.block AND seen.mark = d.mark
		    ORDER BY d.block FOR UPDATE OF d SKIP LOCKED
		), unmarked AS (
		    DELETE FROM app.dirty_blocks d USING clean WHERE d.block = clean.block
		), empty AS (
		    DELETE FROM app.block_rosters b USING clean WHERE b.block = clean.block AND clean.root IS NULL
		)
		INSERT INTO app.block_rosters (block, root) SELECT block, root FROM clean WHERE root IS NOT NULL ORDER BY block
		ON CONFLICT (block) DO UPDATE SET root = excluded.root`, blocks, marks, rootOf)
	return err
}
