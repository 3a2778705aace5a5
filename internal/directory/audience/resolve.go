package audience

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory"
	"postern/internal/directory/audience/accounts"
	"postern/internal/directory/field"
)

// Tally counts the portal users of an audience by reason, and the portal users excluded
// from it by reason.
type Tally struct {
	Included, Excluded map[string]int
}

// Resolve is [Of] with its reasons counted, in its own snapshot. It calls each for
// every recipient in order of number, and stops at the first error that each returns. For
// a group it uses two connections, which read the same snapshot in parallel.
func Resolve(ctx context.Context, db directory.Beginner, sel Selection, on time.Time, each func(Recipient) error) (Tally, error) {
	txs, end, err := inOneSnapshot(ctx, db, connections(sel))
	defer end()
	if err != nil {
		return Tally{}, fmt.Errorf("taking a snapshot of the directory: %w", err)
	}
	return resolve(ctx, txs, sel, on, each)
}

func resolve(ctx context.Context, txs []pgx.Tx, sel Selection, on time.Time, each func(Recipient) error) (Tally, error) {
	tally := Tally{Included: map[string]int{}, Excluded: map[string]int{}}
	var ties tieAllocator
	var failed error
	err := visitSelected(ctx, txs, sel, on, true, func(a *accounts.Account, in, out Reason) bool {
		switch {
		case in != "":
			tally.Included[string(in)]++
			failed = each(Recipient{No: a.No, ID: a.ID, Reason: in, Patients: ties.of(a.Links)})
		case out != "":
			tally.Excluded[string(out)]++
		}
		return failed == nil
	})
	if failed != nil {
		return Tally{}, failed
	}
	if err != nil {
		return Tally{}, fmt.Errorf("finding the audience: %w", err)
	}
	return tally, nil
}

// connections returns how many connections read a selection. Portal users chosen by id
// need one.
func connections(sel Selection) int {
	if len(sel.Groups) == 0 {
		return 1
	}
	return 2
}

// Sizes counts the members of every group on the calendar day of on, as [Resolve] reads
// the directory.
func Sizes(ctx context.Context, db directory.Beginner, on time.Time) (map[Group]int, error) {
	txs, end, err := inOneSnapshot(ctx, db, 2)
	defer end()
	if err != nil {
		return nil, fmt.Errorf("taking a snapshot of the directory: %w", err)
	}
	return sizes(ctx, txs, on)
}

func sizes(ctx context.Context, txs []pgx.Tx, on time.Time) (map[Group]int, error) {
	var of [active | discharged | all + 1]int // the number of accounts in each set of groups
	err := accounts.VisitAll(ctx, txs, field.Day(on), false, func(a *accounts.Account) bool {
		if a.Active {
			of[memberships(a)]++
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("counting the groups: %w", err)
	}
	found := map[Group]int{}
	for group, bit := range map[Group]groups{ActivePatients: active, DischargedPatients: discharged, AllPortalUsers: all} {
		found[group] = 0
		for set, n := range of {
			if groups(set)&bit != 0 {
				found[group] += n
			}
		}
	}
	return found, nil
}

// inOneSnapshot begins n transactions that read the same snapshot
// (https://www.postgresql.org/docs/15/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION).
// end ends all that were begun; call it after an error too.
func inOneSnapshot(ctx context.Context, db directory.Beginner, n int) (txs []pgx.Tx, end func(), err error) {
	end = func() {
		for _, tx := range txs {
			_ = tx.Rollback(context.WithoutCancel(ctx))
		}
	}
	reading := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	var id string
	for range n {
		tx, err := db.BeginTx(ctx, reading)
		if err != nil {
			return txs, end, err
		}
		txs = append(txs, tx)
		if id == "" {
			err = tx.QueryRow(ctx, `SELECT pg_export_snapshot()`).Scan(&id)
		} else {
			// Postgres made the name; it has only digits and dashes.
			_, err = tx.Exec(ctx, `SET TRANSACTION SNAPSHOT '`+id+`'`)
		}
		if err != nil {
			return txs, end, err
		}
	}
	return txs, end, nil
}
