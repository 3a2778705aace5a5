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

// Run makes the rosters of dirty blocks until ctx ends, restores rosters at the start and after a
// failover of Postgres, and deletes old ones every hour. If there is nothing to do, it costs one
// small query each time. After an error it logs it and tries again.
func (s *Store) Run(ctx context.Context) error {
	tick, sweep := time.NewTicker(interval), time.NewTicker(sweepInterval)
	defer tick.Stop()
	defer sweep.Stop()
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
		case <-sweep.C:
			if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
				s.Logger.Warn("can't delete rosters that nothing cites, trying again in an hour", "error", err)
			}
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
	tryPasses   = `SELECT pg_try_advisory_xact_lock(` + store.LockRosters + `)`
	lockPasses  = `SELECT pg_advisory_xact_lock(` + store.LockRosters + `)`
	waitForLast = `SET LOCAL idle_in_transaction_session_timeout = '15s'`
)

// Pass makes the rosters of all dirty blocks, makes them current, and returns their number. If
// another pass is running, it returns 0: that pass, or the next one, makes them. A block that
// changes during the pass stays dirty.
//
// The pass is one transaction. A crash at any line leaves the blocks dirty, and the next pass
// makes the same rosters.
func (s *Store) Pass(ctx context.Context) (made int, err error) {
	if made, _, err = s.pass(ctx); err != nil {
		return 0, wrapped(err)
	}
	if made >= vacuumFrom {
		s.copyNames(ctx)
		s.vacuum(ctx)
	}
	return made, nil
}

// Finish is [Store.Pass] for the end of an import. If another pass is running, it waits until that
// one is done, with what follows it, and then makes what is left: the next message to a group
// does neither.
func (s *Store) Finish(ctx context.Context) error {
	made, mine := 0, false
	for !mine {
		var err error
		if made, mine, err = s.pass(ctx); err != nil {
			return wrapped(err)
		}
		s.copyNames(ctx) // waits for the other pass
	}
	if made >= vacuumFrom {
		s.vacuum(ctx)
	}
	return nil
}

// pass is [Store.Pass] without what follows it. mine is false if another pass is running.
func (s *Store) pass(ctx context.Context) (made int, mine bool, err error) {
	var any bool
	if err := s.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM app.dirty_blocks)`).Scan(&any); err != nil || !any {
		return 0, true, err
	}
	err = pgx.BeginTxFunc(ctx, s.Pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, waitForRead); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, tryPasses).Scan(&mine); err != nil || !mine {
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
	return made, mine, err
}

// copyNames does after a pass what the next message to a group would do: it copies rosters to the
// content store, one process at a time. If it fails, the message does it.
func (s *Store) copyNames(ctx context.Context) {
	err := pgx.BeginTxFunc(ctx, s.Pool, pgx.TxOptions{}, func(tx pgx.Tx) error {
		for _, sql := range []string{waitForRead, lockPasses} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return s.keepNames(ctx)
	})
	if err != nil {
		s.Logger.Warn("the rosters were not copied to the content store: the next message to a group does it", "error", err)
	}
}

// vacuum does what autovacuum would do during the next message to a group.
func (s *Store) vacuum(ctx context.Context) {
	if s.Vacuum == nil {
		return
	}
	if err := s.Vacuum(ctx, "app.roster_facts", "app.roster_names", "app.rosters", "app.block_rosters", "app.dirty_blocks"); err != nil {
		s.Logger.Warn("the tables of the rosters were not vacuumed", "error", err)
	}
}

// keepNames copies the current rosters whose names have no copy, if they are many: people who
// were imported, and will get messages. Rosters of which only the facts are new are copied when
// they are cited: a daily feed makes them for most blocks, and most are never cited.
func (s *Store) keepNames(ctx context.Context) error {
	rows, err := s.Pool.Query(ctx, `SELECT r.root FROM app.block_rosters b JOIN app.rosters r ON r.root = b.root
		WHERE r.kept IS NULL AND NOT EXISTS (SELECT FROM app.rosters o WHERE o.block = r.block AND o.names = r.names AND o.kept IS NOT NULL)`)
	if err != nil {
		return err
	}
	raw, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil || len(raw) < vacuumFrom {
		return err
	}
	roots := make([]roster.Digest, len(raw))
	for i := range raw {
		roots[i] = roster.Digest(raw[i])
	}
	return s.Keep(ctx, roots)
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
