package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"postern/internal/directory/block"
	"postern/internal/events"
	"postern/internal/inbox/delivered"
	"postern/internal/notify/recipients"
	"postern/internal/proof/merkle"
	"postern/internal/text/language"
)

var errNoChunk = errors.New("the chunk is not on the record")

// database is a pool or a transaction. Code within a transaction uses only that
// transaction: waiting for a second connection could deadlock with goroutines that hold the
// connections and wait for this transaction.
type database interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// load reads what a worker must know of a chunk, or of a part of a replay, to continue with it.
func load(ctx context.Context, db database, ref chunkRef) (*work, error) {
	all, err := loadAll(ctx, db, []chunkRef{ref})
	if err != nil {
		return nil, err
	}
	return all[0].work, all[0].err
}

// loaded is a chunk, or why it can't be loaded although others can.
type loaded struct {
	*work
	err error
}

// loadAll is load for several chunks, in as many round trips as for one.
func loadAll(ctx context.Context, db database, refs []chunkRef) ([]loaded, error) {
	all := make([]*work, len(refs))
	q := &pgx.Batch{}
	messages, chunks := make([]uuid.UUID, len(refs)), make([]int, len(refs))
	attempts, parts := make([]int, len(refs)), make([]int64, len(refs))
	for i, ref := range refs {
		all[i] = &work{chunkRef: ref}
		messages[i], chunks[i], attempts[i], parts[i] = ref.message, ref.chunk, ref.attempt(), ref.partNr()
	}
	q.Queue(`
		SELECT k.nr, m.lost, m.not_due, m.held, c.alert_state <> 'pending', i.block, i.members
		FROM unnest($1::uuid[], $2::integer[]) WITH ORDINALITY k (message_id, chunk, nr)
		CROSS JOIN LATERAL (
		    SELECT app.why_not_alerted(status, NULL, NULL, NULL, false) AS lost, app.why_not_alerted(status, true, '-', NULL, false) AS not_due,
		        EXISTS (SELECT FROM record.held_messages h WHERE h.message_id = m.message_id) AS held
		    FROM record.messages m WHERE message_id = k.message_id OFFSET 0) m
		CROSS JOIN LATERAL (SELECT * FROM record.chunks WHERE message_id = k.message_id AND chunk = k.chunk OFFSET 0) c`+recipients.Blocks+`
		ORDER BY k.nr, i.block`, messages, chunks).Query(func(rows pgx.Rows) error {
		var nr int
		var b block.No
		var members []byte
		var row work // the columns that are the same for all blocks of a chunk
		var lost string
		_, err := pgx.ForEachRow(rows, []any{&nr, &lost, &row.notDue, &row.held, &row.done, &b, &members}, func() (err error) {
			w := all[nr-1]
			w.notDue, w.held, w.done = row.notDue, row.held, row.done
			w.recipients, err = appendRecipients(w.recipients, b, members, lost)
			return err
		})
		return err
	})
	const claims = `SELECT attempt, request, request_id, claimed_by, recipients, coalesce(answer, ''), sendgrid_id, coalesce(refusals, '[]')
		FROM app.attempts WHERE message_id = $1 AND chunk = $2 `
	q.Queue(`
		SELECT k.nr, a.* FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::bigint[]) WITH ORDINALITY k (message_id, chunk, attempt, part, nr)
		CROSS JOIN LATERAL (
		    SELECT attempt, request, request_id, claimed_by, recipients, coalesce(answer, ''), sendgrid_id, coalesce(refusals, '[]')
		    FROM app.attempts WHERE message_id = k.message_id AND chunk = k.chunk AND attempt = k.attempt AND part = k.part OFFSET 0) a
		ORDER BY k.nr, a.request`, messages, chunks, attempts, parts).Query(func(rows pgx.Rows) error {
		var nr int
		for rows.Next() {
			c, err := scanClaim(rows, &nr)
			if err != nil {
				return err
			}
			all[nr-1].claims = append(all[nr-1].claims, c)
		}
		return rows.Err()
	})
	for _, w := range all {
		if w.part == nil {
			continue
		}
		q.Queue(`SELECT state = 'done' FROM app.alert_work WHERE message_id = $1 AND chunk = $2 AND part = $3`, w.message, w.chunk, w.part.nr).
			QueryRow(func(row pgx.Row) error { return row.Scan(&w.done) })
		q.Queue(claims+`AND attempt < $3 AND answer = 'accepted'`, w.message, w.chunk, w.attempt()).Query(func(rows pgx.Rows) (err error) {
			w.earlier, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (claim, error) { return scanClaim(row) })
			return err
		})
		q.Queue(`SELECT portal_user_no, attempt FROM record.reports WHERE message_id = $1 AND chunk = $2 AND attempt < $3 AND failed`,
			w.message, w.chunk, w.attempt()).Query(func(rows pgx.Rows) error {
			w.bounced = map[alertKey]bool{}
			var key alertKey
			_, err := pgx.ForEachRow(rows, []any{&key.no, &key.attempt}, func() error { w.bounced[key] = true; return nil })
			return err
		})
	}
	err := db.SendBatch(ctx, q).Close()
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoChunk // the part has no row
	}
	if err != nil {
		return nil, fmt.Errorf("loading the chunk: %w", err)
	}
	if err := loadAddresses(ctx, db, all); err != nil {
		return nil, fmt.Errorf("loading the addresses of the recipients: %w", err)
	}
	found := make([]loaded, len(all))
	for i, w := range all {
		if found[i].work = w; len(w.recipients) == 0 {
			found[i] = loaded{err: errNoChunk}
		}
	}
	return found, nil
}

// appendRecipients appends the members of a block. Until their addresses are loaded, they are
// as portal users whose row was lost.
func appendRecipients(all []recipient, b block.No, stored []byte, lost string) ([]recipient, error) {
	nos, err := recipients.Append(make([]int32, 0, block.Size), b, stored)
	if err != nil {
		return nil, err
	}
	for _, no := range nos {
		all = append(all, recipient{no: no, notDue: lost})
	}
	return all, nil
}

// loadAddresses reads the addresses of the recipients, and why some of them get no alert. A
// recipient whose row was lost has no address and keeps the position, so the positions after it
// don't change.
func loadAddresses(ctx context.Context, db database, all []*work) error {
	q := &pgx.Batch{}
	var first, last []int32
	var owner []*work // of each range from first to last
	for _, w := range all {
		if len(w.recipients) == 0 {
			continue
		}
		if w.notDue != "" { // the message was recalled or cancelled
			for i := range w.recipients {
				w.recipients[i].notDue = w.notDue
			}
			continue
		}
		n := len(owner)
		first, last = w.ranges(first, last)
		for range len(first) - n {
			owner = append(owner, w)
		}
		w.queueAddresses(q, first[n:], last[n:])
	}
	if len(owner) == 0 {
		return nil
	}
	// Few differ from the others. They have queries of their own, because with a second table in the
	// query of the addresses Postgres may read that table once per recipient. The answers come in the
	// order of the queries: an address is there before the reason not to use it.
	few := fewOf{q, first, last, owner}
	notDue := func(r *recipient, reason string) { r.notDue = reason }
	few.queue(`
		SELECT r.nr, x.portal_user_no, app.why_not_alerted(NULL, u.active, u.email, x.reason, false)
		FROM unnest($1::integer[], $2::integer[]) WITH ORDINALITY r (first, last, nr)
		CROSS JOIN LATERAL (SELECT * FROM record.dead_addresses WHERE portal_user_no BETWEEN r.first AND r.last OFFSET 0) x
		JOIN app.portal_users u ON u.portal_user_no = x.portal_user_no AND u.email_version = x.address_version`, notDue)
	few.queue(`
		SELECT r.nr, o.portal_user_no, app.why_not_alerted(NULL, u.active, u.email, NULL, true)
		FROM unnest($1::integer[], $2::integer[]) WITH ORDINALITY r (first, last, nr)
		CROSS JOIN LATERAL (SELECT * FROM record.alert_opt_outs WHERE portal_user_no BETWEEN r.first AND r.last OFFSET 0) o
		JOIN app.portal_users u USING (portal_user_no)`, notDue)
	few.queue(`
		SELECT r.nr, a.portal_user_no, a.language
		FROM unnest($1::integer[], $2::integer[]) WITH ORDINALITY r (first, last, nr)
		CROSS JOIN LATERAL (SELECT portal_user_no, language FROM app.portal_accounts
		    WHERE portal_user_no BETWEEN r.first AND r.last AND language <> 'en' OFFSET 0) a`, // as the index
		func(r *recipient, l string) { r.language = language.Language(l) })
	if err := db.SendBatch(ctx, q).Close(); err != nil {
		return err
	}
	return loadOthers(ctx, db, all)
}

// fewOf queues queries for those few of the recipients who differ from the others.
type fewOf struct {
	batch       *pgx.Batch
	first, last []int32 // ranges of numbers
	owner       []*work // of each range
}

// queue queues a query whose parameters are the ranges. Its rows have the place of the range, from 1,
// the number of a portal user in it, and a value to set.
func (f fewOf) queue(sql string, set func(*recipient, string)) {
	f.batch.Queue(sql, f.first, f.last).Query(func(rows pgx.Rows) error {
		var nr int
		var no int32
		var value string
		_, err := pgx.ForEachRow(rows, []any{&nr, &no, &value}, func() error {
			w := f.owner[nr-1]
			if i, found := w.position(no); found {
				set(&w.recipients[i], value)
			}
			return nil
		})
		return err
	})
}

// ranges appends the ranges of numbers whose portal users are read for the work: one for all of
// them, which is cheaper, unless fewer than 1/sparse of the numbers in it are recipients.
func (w *work) ranges(first, last []int32) (firsts, lasts []int32) {
	nos := w.concerned()
	if n := len(nos); n > 0 && int(nos[n-1]-nos[0]) < sparse*n {
		return append(first, nos[0]), append(last, nos[n-1])
	}
	return append(first, nos...), append(last, nos...)
}

const sparse = 4

// concerned returns the numbers of the portal users to alert, ascending.
func (w *work) concerned() []int32 {
	if w.part != nil {
		return w.part.nos
	}
	nos := make([]int32, len(w.recipients))
	for i := range w.recipients {
		nos[i] = w.recipients[i].no
	}
	return nos
}

// concerns says whether an alert to a portal user of the chunk is part of the work.
func (w *work) concerns(no int32) bool { return w.part == nil || w.part.concerns(no) }

// position returns the position of a portal user.
func (w *work) position(no int32) (int, bool) {
	return slices.BinarySearchFunc(w.recipients, no, func(r recipient, no int32) int { return cmp.Compare(r.no, no) })
}

// queueAddresses queues the query for the addresses of those recipients who may be alerted, as
// nearly all may. It reads nothing else: with a thousand rows a chunk, each column counts.
func (w *work) queueAddresses(q *pgx.Batch, first, last []int32) {
	among, numbers := `= ANY($1)`, []any{first}
	if len(first) == 1 {
		among, numbers = `BETWEEN $1 AND $2`, []any{first[0], last[0]}
	}
	q.Queue(`SELECT portal_user_no, email FROM app.portal_users WHERE portal_user_no `+among+` AND active AND email <> ''`, numbers...).
		Query(func(rows pgx.Rows) error {
			var no int32
			var email pgtype.DriverBytes
			n := len(w.recipients)
			text := make([]byte, 0, 32*n) // of all addresses: one allocation
			ends := make([]int, 0, n)     // of each address in it
			at := make([]int, 0, n)       // the position of each address
			next := 0                     // where the next row probably belongs
			into := []any{&no, &email}
			for rows.Next() {
				if err := rows.Scan(into...); err != nil {
					return err
				}
				if next >= len(w.recipients) || w.recipients[next].no != no {
					i, found := w.position(no)
					if !found {
						continue
					}
					next = i
				}
				text, at = append(text, email...), append(at, next)
				ends = append(ends, len(text))
				next++
			}
			if err := rows.Err(); err != nil {
				return err
			}
			addresses, begin := string(text), 0
			for i, p := range at {
				w.recipients[p].email, w.recipients[p].notDue = addresses[begin:ends[i]], ""
				begin = ends[i]
			}
			return nil
		})
}

// loadOthers reads why recipients without an address to alert get no alert.
func loadOthers(ctx context.Context, db database, all []*work) error {
	q := &pgx.Batch{}
	for _, w := range all {
		var others []int32
		for _, r := range w.recipients {
			if r.email == "" && w.concerns(r.no) {
				others = append(others, r.no)
			}
		}
		if len(others) == 0 || w.notDue != "" {
			continue
		}
		q.Queue(`SELECT portal_user_no, email, app.why_not_alerted(NULL, active, email, NULL, false) FROM app.portal_users WHERE portal_user_no = ANY($1)`,
			others).Query(func(rows pgx.Rows) error {
			var no int32
			var email, notDue string
			_, err := pgx.ForEachRow(rows, []any{&no, &email, &notDue}, func() error {
				if i, found := w.position(no); found {
					w.recipients[i].email, w.recipients[i].notDue = email, notDue
				}
				return nil
			})
			return err
		})
	}
	if q.Len() == 0 {
		return nil
	}
	return db.SendBatch(ctx, q).Close()
}

// name adds the ids of the portal users to the exceptions of an outcome.
func (w *work) name(ctx context.Context, db database, exceptions []events.AlertException) error {
	if len(exceptions) == 0 {
		return nil
	}
	nos := make([]int32, len(exceptions))
	for i := range exceptions {
		nos[i] = exceptions[i].PortalUserNo
	}
	rows, err := db.Query(ctx, `SELECT portal_user_no, portal_user_id FROM app.portal_users WHERE portal_user_no = ANY($1)`, nos)
	if err != nil {
		return fmt.Errorf("reading the ids of recipients: %w", err)
	}
	ids := make(map[int32]string, len(nos))
	var no int32
	var id string
	if _, err := pgx.ForEachRow(rows, []any{&no, &id}, func() error { ids[no] = id; return nil }); err != nil {
		return fmt.Errorf("reading the ids of recipients: %w", err)
	}
	if len(ids) < len(nos) {
		if err := w.nameLost(ctx, db, ids); err != nil {
			return err
		}
	}
	for i := range exceptions {
		exceptions[i].PortalUserID = ids[exceptions[i].PortalUserNo]
	}
	return nil
}

// nameLost adds the ids that are missing from the chunk's event: Postgres has lost the rows of
// these portal users, see promotion.go. If it has also lost the rosters that the event cites, the
// error stays until a fan-out worker has restored them.
func (w *work) nameLost(ctx context.Context, db database, ids map[int32]string) error {
	var seq int64
	var stored []byte
	err := db.QueryRow(ctx, `SELECT e.seq, e.stored FROM record.chunks c JOIN record.events e USING (seq) WHERE c.message_id = $1 AND c.chunk = $2`,
		w.message, w.chunk).Scan(&seq, &stored)
	if err != nil {
		return fmt.Errorf("reading the event of the chunk: %w", err)
	}
	event, err := merkle.Unpack(uint64(seq), stored) // #nosec G115 -- a sequence
	if err != nil {
		return err
	}
	e, err := events.Parse(event.Header, event.Data)
	if err != nil {
		return fmt.Errorf("reading the event of the chunk: %w", err)
	}
	missing := func(no int32) bool { return ids[no] == "" }
	err = delivered.Each(ctx, db, &e, missing, func(r *events.Recipient) error { ids[r.PortalUserNo] = r.PortalUserID; return nil })
	if err != nil {
		return fmt.Errorf("reading the event of the chunk: %w", err)
	}
	return nil
}

// scanClaim scans the columns of a claim, after those before it.
func scanClaim(row pgx.CollectableRow, before ...any) (claim, error) {
	var c claim
	var bits []byte
	err := row.Scan(append(before, &c.attempt, &c.request, &c.id, &c.claimedBy, &bits, &c.answer, &c.sendgridID, &c.refusals)...)
	c.positions = positions(bits)
	return c, err
}
