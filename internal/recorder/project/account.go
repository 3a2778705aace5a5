package project

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/proof/merkle"
)

// ofAccount projects an event with another projection, if any, and lists it among the events about
// the account of a portal user.
func ofAccount(other projection) projection {
	return func(b *batch, p *Prepared) error {
		if other != nil {
			if err := other(b, p); err != nil {
				return err
			}
		}
		if id := p.Event.PortalUserAccount(); id != "" {
			b.accounts = append(b.accounts, []any{id, p.Stored.Seq})
		}
		return nil
	}
}

// filledAtOnce is the number of events that [FillAccountEvents] reads at once.
const filledAtOnce = 5000

// FillAccountEvents writes the rows of record.account_events for events that were recorded before
// the table existed, and returns their number. It writes all of them in one transaction, once: a
// crash leaves none, and later calls do nothing. The connection is that of the owner of the tables.
func FillAccountEvents(ctx context.Context, db *pgx.Conn) (filled int, err error) {
	err = pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM app.tables_to_fill WHERE name = 'account_events'`)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		types := events.TypesWhere(events.Descriptor.OfAccount)
		for after, n := int64(0), filledAtOnce; n == filledAtOnce; filled += n {
			if after, n, err = fillSome(ctx, tx, types, after); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("filling record.account_events: %w", err)
	}
	return filled, nil
}

// fillSome writes the rows of the next events after a sequence, and returns the sequence of the last
// event that it read, and how many it read.
func fillSome(ctx context.Context, tx pgx.Tx, types []events.Type, after int64) (last int64, n int, err error) {
	rows, err := tx.Query(ctx, `SELECT seq, stored FROM record.events WHERE type = ANY($1) AND projected AND seq > $2 ORDER BY seq LIMIT $3`, types, after, filledAtOnce)
	if err != nil {
		return 0, 0, err
	}
	var ids []string
	var seqs []int64
	var stored []byte
	_, err = pgx.ForEachRow(rows, []any{&last, &stored}, func() error {
		n++
		s, err := merkle.Unpack(uint64(last), stored) // #nosec G115 -- a sequence
		if err != nil {
			return err
		}
		e, err := events.Parse(s.Header, s.Data)
		if err != nil {
			return nil // projected by another version
		}
		if id := e.PortalUserAccount(); id != "" {
			ids, seqs = append(ids, id), append(seqs, last)
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO record.account_events (portal_user_id, seq) SELECT * FROM unnest($1::text[], $2::bigint[]) ON CONFLICT DO NOTHING`, ids, seqs)
	return last, n, err
}
