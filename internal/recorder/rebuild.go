package recorder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"postern/internal/eventlog"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/position"
	"postern/internal/store"
)

// table is a projected table and the columns that a rebuild must give again, in
// the order of its key. Of events the compressed copy is left out: how bytes are
// compressed may change between versions, what they say is in leaf.
type table struct {
	name, columns, key string
}

var tables = []table{
	{"events", "seq, id, type, actor, time, message_id, repeats, projected, leaf", "seq"},
	{"hashes", "*", "idx"},
	{"position", "seq", "seq"},
	{"messages", "*", "message_id"},
	{"message_bcc", "*", "staff_id, message_id"},
	{"chunks", "*", "message_id, chunk"},
	{"chunk_events", "*", "seq"},
	{"deliveries", "*", "message_id, portal_user_no"},
	{"alert_exceptions", "*", "message_id, portal_user_no"},
	{"reports", "*", "message_id, chunk, portal_user_no, attempt"},
	{"dead_addresses", "*", "portal_user_no"},
	{"opens", "*", "message_id, portal_user_no"},
	{"downloads", "*", "seq"},
	{"staff", "*", "staff_id"},
	{"staff_permissions", "*", "staff_id, permission"},
	{"second_factors", "*", "staff_id"},
	{"labels", "*", "label"},
	{"parked_decisions", "*", "parked_id, tries"},
	{"pauses", "*", "message_id"},
	{"replays", "*", "replay_id"},
	{"erasures", "*", "erasure_id"},
	{"retention", "*", "seq"},
}

// Compared says how a table came out of a rebuild.
type Compared struct {
	Table   string `json:"table"`
	Rows    int64  `json:"rows"`
	Digest  string `json:"digest"`  // of the table as it stands
	Rebuilt string `json:"rebuilt"` // of the table as the record gives it
}

// Same tells whether both are the same to the byte.
func (c Compared) Same() bool { return c.Digest == c.Rebuilt }

// A Rebuild replays the record into tables beside the real ones. It needs a
// connection of a role that may create schemas.
type Rebuild struct {
	Log  *eventlog.Log
	Pool *pgxpool.Pool
	// Progress, where it is set, is told the sequence reached and the last.
	Progress func(seq, last uint64)
}

// Check replays everything up to where the recorder is now, compares every table
// and drops nothing but its own: the real tables are only read, in one snapshot,
// while recording goes on.
func (r *Rebuild) Check(ctx context.Context) (compared []Compared, err error) {
	err = r.beside(ctx, func(snapshot pgx.Tx, b *besideTables, position uint64) error {
		if err := r.replayAll(ctx, b, position); err != nil {
			return err
		}
		compared, err = compare(ctx, snapshot, b.conn, tables)
		return err
	})
	return compared, err
}

// beside calls f with a snapshot of the real tables, tables beside them that are not
// made yet, and the position that the snapshot has.
func (r *Rebuild) beside(ctx context.Context, f func(snapshot pgx.Tx, b *besideTables, position uint64) error) error {
	conn, err := r.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connecting to Postgres: %w", err)
	}
	defer conn.Release()
	snapshot, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("taking a snapshot: %w", err)
	}
	defer func() { _ = snapshot.Rollback(context.WithoutCancel(ctx)) }()
	reached, err := position.Read(ctx, snapshot)
	if err != nil {
		return err
	}
	b, err := openBeside(ctx, r.Pool, false)
	if err != nil {
		return err
	}
	defer b.close(context.WithoutCancel(ctx))
	return f(snapshot, b, reached)
}

// Replace replays everything and puts the rebuilt tables in the place of the
// real ones, all at once. The copy of the events stays: it is not made anew from
// the stream, since it may be the better of the two.
func (r *Rebuild) Replace(ctx context.Context) (uint64, error) {
	b, err := openBeside(ctx, r.Pool, true)
	if err != nil {
		return 0, err
	}
	defer b.close(context.WithoutCancel(ctx))
	state, err := r.Log.State(ctx)
	if err != nil {
		return 0, err
	}
	recorded, err := position.Read(ctx, r.Pool)
	if err != nil {
		return 0, err
	}
	if state.Last < recorded {
		return 0, fmt.Errorf("the stream ends at event %d, before the copy's %d: run `postern repair` first", state.Last, recorded)
	}
	if err := r.replayAll(ctx, b, recorded); err != nil {
		return 0, err
	}
	tx, err := b.conn.Begin(ctx)
	if err != nil {
		return 0, fmt.Errorf("beginning the exchange: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	// From here on the recorder waits at its first statement.
	var reached int64
	if _, err := tx.Exec(ctx, `SET LOCAL synchronous_commit = on; LOCK TABLE record.position IN ACCESS EXCLUSIVE MODE`); err != nil {
		return 0, fmt.Errorf("stopping the recorder: %w", err)
	}
	if err := tx.QueryRow(ctx, `SELECT seq FROM record.position`).Scan(&reached); err != nil {
		return 0, fmt.Errorf("reading the position: %w", err)
	}
	if err := r.replay(ctx, tx, recorded, uint64(reached), nil); err != nil { // #nosec G115 -- never negative
		return 0, err
	}
	if err := exchange(ctx, tx); err != nil {
		return 0, err
	}
	// A crash before this line leaves the tables as they were.
	if err := tx.Commit(ctx); err != nil {
		return 0, fmt.Errorf("exchanging the tables: %w", err)
	}
	return uint64(reached), nil // #nosec G115 -- never negative
}

// replayAll fills the tables beside with everything up to a position. Where two
// events give one delivery, the second is refused as the recorder refused it, which
// takes the index from the first row on: then all is done again that way.
func (r *Rebuild) replayAll(ctx context.Context, b *besideTables, last uint64) error {
	for _, indexed := range []bool{false, true} {
		if err := b.make(ctx, indexed); err != nil {
			return err
		}
		if err := r.replay(ctx, b.conn, 0, last, nil); err != nil {
			return err
		}
		if err := b.index(ctx); !store.RefusedData(err) {
			return err
		}
	}
	return errors.New("the rows do not fit the indexes that they came in with: PostgreSQL's data is damaged")
}

var errReached = errors.New("reached the end")

// replay writes the events after one position up to another. Where each is set, it
// is shown every event first, in order, and may change what is projected of it. The
// next run is being read while one is being written.
func (r *Rebuild) replay(ctx context.Context, db beginner, after, last uint64, each func(*prepared) error) error {
	if after == last {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	runs := make(chan []*prepared)
	group.Go(func() error {
		defer close(runs)
		return r.readRuns(ctx, after, last, each, runs)
	})
	group.Go(func() error {
		position := after
		for run := range runs {
			if err := record(ctx, db, position, run, nil); err != nil {
				return err
			}
			position = run[len(run)-1].stored.Seq
			if r.Progress != nil {
				r.Progress(position, last)
			}
		}
		return nil
	})
	return group.Wait()
}

func (r *Rebuild) readRuns(ctx context.Context, after, last uint64, each func(*prepared) error, runs chan<- []*prepared) error {
	err := r.Log.Read(ctx, after+1, maxRunEvents, maxRunBytes, func(stored []eventlog.Stored) error {
		run := make([]*prepared, 0, len(stored))
		for _, s := range stored {
			if s.Seq > last {
				break
			}
			p := look(merkle.Stored{Seq: s.Seq, Subject: s.Subject, Header: s.Header, Data: s.Data})
			if each != nil {
				if err := each(p); err != nil {
					return err
				}
			}
			run = append(run, p)
		}
		select {
		case runs <- run:
		case <-ctx.Done():
			return ctx.Err()
		}
		if run[len(run)-1].stored.Seq == last {
			return errReached
		}
		return nil
	})
	if errors.Is(err, errReached) {
		return nil
	}
	return err
}

// compare reads both sides at once, each over its own connection.
func compare(ctx context.Context, snapshot pgx.Tx, rebuilt *pgx.Conn, tables []table) ([]Compared, error) {
	all := make([]Compared, len(tables))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		for i, t := range tables {
			all[i].Table = t.name
			if all[i].Digest, all[i].Rows, err = digest(ctx, snapshot.Conn(), "record", t); err != nil {
				return err
			}
		}
		return nil
	})
	group.Go(func() (err error) {
		for i, t := range tables {
			if all[i].Rebuilt, _, err = digest(ctx, rebuilt, beside, t); err != nil {
				return err
			}
		}
		return nil
	})
	return all, group.Wait()
}

// digest is the SHA-256 over a table's rows as COPY BINARY writes them, in key order.
func digest(ctx context.Context, conn *pgx.Conn, schema string, t table) (string, int64, error) {
	h := sha256.New()
	tag, err := conn.PgConn().CopyTo(ctx, io.Writer(h),
		fmt.Sprintf(`COPY (SELECT %s FROM %s.%s ORDER BY %s) TO STDOUT BINARY`, t.columns, schema, t.name, t.key))
	if err != nil {
		return "", 0, fmt.Errorf("reading %s.%s: %w", schema, t.name, err)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), tag.RowsAffected(), nil
}
