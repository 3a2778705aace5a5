// Package rebuild projects the record again, into tables beside the real ones. It compares the
// two, or replaces the real tables with the rebuilt ones. Whether the stream itself is whole
// is for package damage.
package rebuild

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
	"postern/internal/recorder/project"
)

// table is a projected table and the columns that a rebuild must reproduce, in the
// order of its key. The compressed copy of events is left out: compression may change
// between versions, and the leaf covers the content.
type table struct {
	name, columns, key string
}

var tables = []table{
	{"events", "seq, id, type, actor, time, message_id, repeats, projected, leaf", "seq"},
	{"hashes", "*", "idx"},
	{"position", "seq", "seq"},
	{"messages", "*", "message_id"},
	{"message_bcc", "*", "staff_id, message_id"},
	{"notices", "*", "message_id"},
	{"chunks", "*", "message_id, chunk"},
	{"chunk_events", "*", "seq"},
	{"inbox", "*", "message_id, block, part"},
	{"alert_exceptions", "*", "message_id, portal_user_no"},
	{"reports", "*", "message_id, chunk, portal_user_no, attempt"},
	{"dead_addresses", "*", "portal_user_no"},
	{"address_confirmations", "*", "portal_user_no"},
	{"alert_opt_outs", "*", "portal_user_no"},
	{"account_events", "*", "portal_user_id, seq"},
	{"invitation_runs", "*", "run_id"},
	{"opens", "*", "message_id, portal_user_no"},
	{"downloads", "*", "seq"},
	{"staff", "*", "staff_id"},
	{"staff_permissions", "*", "staff_id, permission"},
	{"second_factors", "*", "change_id"},
	{"recovery_codes", "*", "realm, subject"},
	{"identities", "*", "staff_id"},
	{"grants", "*", "request_id"},
	{"emergencies", "*", "opening_id"},
	{"emergency_reads", "*", "seq"},
	{"tokens", "*", "token_id"},
	{"labels", "*", "label"},
	{"clinic", "*", "singleton"},
	{"parked_decisions", "*", "parked_id, tries"},
	{"pauses", "*", "message_id"},
	{"replays", "*", "replay_id"},
	{"erasures", "*", "erasure_id"},
	{"retention", "*", "seq"},
}

// Compared is the comparison of a table with its rebuilt copy.
type Compared struct {
	Table   string `json:"table"`
	Rows    int64  `json:"rows"`
	Digest  string `json:"digest"`  // of the table in use
	Rebuilt string `json:"rebuilt"` // of the table rebuilt from the record
}

// Same reports whether both tables are the same, byte for byte.
func (c Compared) Same() bool { return c.Digest == c.Rebuilt }

// A Rebuild projects the record again, into tables beside the real ones. It needs a
// connection of a role that may create schemas.
type Rebuild struct {
	Log  *eventlog.Log
	Pool *pgxpool.Pool
	// Progress, if set, is called with the sequence reached so far and the last one.
	Progress func(seq, last uint64)
}

// Check projects all events up to the recorder's present position and compares every
// table. It only reads the real tables, in one snapshot, while recording continues.
func (r *Rebuild) Check(ctx context.Context) (compared []Compared, err error) {
	err = r.withTables(ctx, func(snapshot pgx.Tx, b *rebuildTables, position uint64) error {
		if err := r.replayAll(ctx, b, position); err != nil {
			return err
		}
		compared, err = compare(ctx, snapshot, b.conn, tables)
		return err
	})
	return compared, err
}

// withTables calls f with a snapshot of the real tables, rebuild tables that are not
// created yet, and the position of the snapshot.
func (r *Rebuild) withTables(ctx context.Context, f func(snapshot pgx.Tx, b *rebuildTables, position uint64) error) error {
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
	b, err := openRebuildTables(ctx, r.Pool, false)
	if err != nil {
		return err
	}
	defer b.close(context.WithoutCancel(ctx))
	return f(snapshot, b, reached)
}

// Replace projects all events again and replaces the real tables with the rebuilt ones,
// all at once. It keeps the copy of the events and does not copy them from the stream
// again, since the stream may be the damaged one. It returns the position reached.
func (r *Rebuild) Replace(ctx context.Context) (uint64, error) {
	b, err := openRebuildTables(ctx, r.Pool, true)
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

// replayAll fills the rebuild tables with all events up to a position.
func (r *Rebuild) replayAll(ctx context.Context, b *rebuildTables, last uint64) error {
	if err := b.make(ctx); err != nil {
		return err
	}
	return r.replay(ctx, b.conn, 0, last, nil)
}

// The largest run of events that is written in one transaction.
const (
	runEvents = 4096
	runBytes  = 4 << 20
)

var errReached = errors.New("reached the end")

// replay writes the events after one position up to another. If each is set, it is called
// with every event first, in order, and may change its projection. The next run is read
// while one is being written.
func (r *Rebuild) replay(ctx context.Context, db project.Beginner, after, last uint64, each func(*project.Prepared) error) error {
	if after == last {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	runs := make(chan []*project.Prepared)
	group.Go(func() error {
		defer close(runs)
		return r.readRuns(ctx, after, last, each, runs)
	})
	group.Go(func() error {
		position := after
		for run := range runs {
			if err := project.WriteAgain(ctx, db, position, run); err != nil {
				return err
			}
			position = run[len(run)-1].Stored.Seq
			if r.Progress != nil {
				r.Progress(position, last)
			}
		}
		return nil
	})
	return group.Wait()
}

func (r *Rebuild) readRuns(ctx context.Context, after, last uint64, each func(*project.Prepared) error, runs chan<- []*project.Prepared) error {
	err := r.Log.Read(ctx, after+1, runEvents, runBytes, func(stored []eventlog.Stored) error {
		run := make([]*project.Prepared, 0, len(stored))
		for _, s := range stored {
			if s.Seq > last {
				break
			}
			p := project.Look(merkle.Stored{Seq: s.Seq, Subject: s.Subject, Header: s.Header, Data: s.Data})
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
		if run[len(run)-1].Stored.Seq == last {
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
			if all[i].Rebuilt, _, err = digest(ctx, rebuilt, rebuildSchema, t); err != nil {
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
