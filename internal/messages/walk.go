package messages

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/directory/block"
)

// snapshot reads what was delivered at one moment. It lives as long as its transaction.
type snapshot struct {
	ctx context.Context
	tx  pgx.Tx
}

// reading calls do with a snapshot.
func (rd *Reader) reading(ctx context.Context, do func(*snapshot) error) error {
	return pgx.BeginTxFunc(ctx, rd.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, alongIndexes); err != nil {
			return err
		}
		return do(&snapshot{ctx, tx})
	})
}

// Right after a blast, Postgres has no statistics of it. It expects a few rows instead of a
// million, and would read and sort all of them for a page of fifty. So these settings restrict
// it to indexes. LIMIT or OFFSET in a lateral subquery makes it look the rows up one by one:
// otherwise it may begin with all chunks or all opens of the message.
const alongIndexes = `SELECT set_config(name, 'off', true) FROM unnest(ARRAY['enable_bitmapscan', 'enable_hashjoin',
	'enable_incremental_sort', 'enable_material', 'enable_mergejoin', 'enable_seqscan', 'enable_sort']) AS name`

// A walk goes through the deliveries of a message that match a filter, in order of portal user
// number. It reads them by blocks, and lets Postgres leave out the blocks without a match.
type walk struct {
	*snapshot
	message uuid.UUID
	filter  Filter
}

// maxRows is the most rows of record.inbox that next reads at once.
const maxRows = 256

// next returns up to limit deliveries with numbers above after. They have the chunk's alert
// and no names: see complete.
func (w walk) next(after int32, limit int) (found []Delivery, err error) {
	first, _ := block.Of(max(after, 1))
	at := place{first, -1}
	for n := 1 + limit/block.Size; len(found) < limit; n = max(n, min(2*n, maxRows)) {
		rows, err := w.rows(at, nil, n)
		if err != nil {
			return nil, err
		}
		for i := 0; i < len(rows) && rows[i].block == first; i++ {
			rows[i].cut(after)
		}
		matching, err := w.matching(rows)
		if err != nil {
			return nil, err
		}
		if found = append(found, matching...); len(rows) < n {
			break
		}
		at = rows[n-1].place
	}
	return found[:min(len(found), limit)], nil
}

// among returns the deliveries to some portal users, given in ascending order.
func (w walk) among(numbers []int32) ([]Delivery, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	blocks := make([]block.No, len(numbers))
	for i, no := range numbers {
		blocks[i], _ = block.Of(no)
	}
	rows, err := w.rows(place{-1, 0}, slices.Compact(blocks), math.MaxInt32)
	if err != nil {
		return nil, err
	}
	keep(rows, none, numbers, nil)
	return w.matching(rows)
}

// A place is the place of a row of record.inbox within a message. Of two rows of a block, the
// one with the higher part has the higher portal user numbers.
type place struct {
	block block.No
	part  int
}

// row is a row of record.inbox, with its chunk. A walk removes the members that do not match.
type row struct {
	place
	members     block.Members
	deliveredAt time.Time
	alert       alert
}

// cut removes the portal users with numbers up to after.
func (r *row) cut(after int32) {
	for at := range r.members.All() {
		if r.block.At(at) <= after {
			r.members.Remove(at)
		}
	}
}

// selectRows selects the rows that can have a match. $1 is the message, $2 and $3 the place
// after which to start, $4 the limit, $5 the blocks, NULL for all. $6 is whether the delivery
// was opened, $7 the state of the alert, $8 its reason. Postgres plans it for its arguments,
// and so leaves out conditions that the filter does not have.
const selectRows = `
	SELECT i.block, i.part, i.members, c.delivered_at, c.alert_state, c.alert_reason, c.alert_attempt, c.alert_at
	FROM record.inbox i
	CROSS JOIN LATERAL (SELECT * FROM record.chunks c WHERE c.message_id = i.message_id AND c.chunk = i.chunk LIMIT 1) c
	WHERE i.message_id = $1 AND (i.block, i.part) > ($2, $3)
	  AND ($5::integer[] IS NULL OR i.block = ANY ($5))
	  AND CASE $6::boolean WHEN true THEN i.opened > 0 WHEN false THEN i.opened < record.member_count(i.members) ELSE true END
	  AND ($7 = '' OR c.alert_state = $7 AND $8 IN ('', c.alert_reason) OR EXISTS (
	      SELECT FROM record.alert_exceptions x
	      WHERE x.message_id = i.message_id AND x.portal_user_no BETWEEN i.block * 250 + 1 AND i.block * 250 + 250
	        AND x.state = $7 AND $8 IN ('', x.reason)))
	ORDER BY i.block, i.part LIMIT $4`

func (w walk) rows(after place, blocks []block.No, limit int) ([]row, error) {
	found, err := w.tx.Query(w.ctx, selectRows, planned, w.message, after.block, after.part, limit, blocks,
		w.filter.Opened, string(w.filter.Alert), w.filter.Reason)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, func(found pgx.CollectableRow) (r row, err error) {
		var members []byte
		if err = found.Scan(&r.block, &r.part, &members, &r.deliveredAt, &r.alert.state, &r.alert.reason, &r.alert.attempt, &r.alert.at); err != nil {
			return r, err
		}
		if r.members, err = block.Parse(members); err != nil {
			return r, fmt.Errorf("block %d: %w", r.block, err)
		}
		return r, nil
	})
}

// complete adds the names, the openings, the alerts that differ from the chunk's, and since when each
// can be read.
func (w walk) complete(found []Delivery) ([]Delivery, error) {
	if err := w.exceptions(found); err != nil {
		return nil, err
	}
	if err := w.opens(found); err != nil {
		return nil, err
	}
	found, err := w.named(found, nil)
	if err != nil {
		return nil, err
	}
	return found, w.readable(found)
}
