package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"postern/internal/directory/block"
	"postern/internal/events"
	"postern/internal/inbox/delivered"
	"postern/internal/notify/recipients"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/state"
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

func load(ctx context.Context, db database, ref chunkRef) (*work, error) {
	w := &work{chunkRef: ref}
	var status state.Message
	var lost string // why no alert is sent to a portal user whose row was lost
	var nos []int32
	q := &pgx.Batch{}
	q.Queue(`
		SELECT m.status, app.why_not_alerted(m.status, NULL, NULL, NULL), c.alert_state <> 'pending', i.block, i.members
		FROM record.chunks c JOIN record.messages m USING (message_id)`+recipients.Blocks+`
		WHERE c.message_id = $1 AND c.chunk = $2 ORDER BY i.block`, ref.message, ref.chunk).Query(func(rows pgx.Rows) error {
		var b block.No
		var members []byte
		_, err := pgx.ForEachRow(rows, []any{&status, &lost, &w.done, &b, &members}, func() (err error) {
			nos, err = recipients.Append(nos, b, members)
			return err
		})
		return err
	})
	const claims = `SELECT attempt, request, request_id, claimed_by, recipients, coalesce(answer, ''), sendgrid_id, coalesce(refusals, '[]')
		FROM app.attempts WHERE message_id = $1 AND chunk = $2 `
	q.Queue(claims+`AND attempt = $3 AND part = $4 ORDER BY request`, ref.message, ref.chunk, ref.attempt(), ref.partNr()).Query(into(&w.claims))
	if ref.part != nil {
		q.Queue(`SELECT state = 'done' FROM app.alert_work WHERE message_id = $1 AND chunk = $2 AND part = $3`, ref.message, ref.chunk, ref.part.nr).
			QueryRow(func(row pgx.Row) error { return row.Scan(&w.done) })
		q.Queue(claims+`AND attempt < $3 AND answer = 'accepted'`, ref.message, ref.chunk, ref.attempt()).Query(into(&w.earlier))
		q.Queue(`SELECT portal_user_no, attempt FROM record.reports WHERE message_id = $1 AND chunk = $2 AND attempt < $3 AND failed`,
			ref.message, ref.chunk, ref.attempt()).Query(func(rows pgx.Rows) error {
			w.bounced = map[alertKey]bool{}
			var key alertKey
			_, err := pgx.ForEachRow(rows, []any{&key.no, &key.attempt}, func() error { w.bounced[key] = true; return nil })
			return err
		})
	}
	err := db.SendBatch(ctx, q).Close()
	if errors.Is(err, pgx.ErrNoRows) || err == nil && len(nos) == 0 {
		return nil, errNoChunk
	}
	if err != nil {
		return nil, fmt.Errorf("loading the chunk: %w", err)
	}
	w.recipients = make([]recipient, len(nos))
	for i, no := range nos {
		w.recipients[i] = recipient{no: no, notDue: lost}
	}
	return w, w.loadAddresses(ctx, db, nos, status)
}

// loadAddresses reads the addresses of the recipients, whose numbers are nos, and why some of
// them get no alert. A recipient whose row was lost has no address and keeps the position, so
// the positions after it don't change.
func (w *work) loadAddresses(ctx context.Context, db database, nos []int32, status state.Message) error {
	concerned := nos
	if w.part != nil {
		concerned = w.part.nos
	}
	among, numbers := `= ANY($2)`, []any{concerned}
	if n := len(concerned); n > 0 && int(concerned[n-1]-concerned[0]) < sparse*n {
		among, numbers = `BETWEEN $2 AND $3`, []any{concerned[0], concerned[n-1]}
	}
	args := append([]any{status}, numbers...)
	var no int32
	var email, notDue string
	q := &pgx.Batch{}
	q.Queue(`
		SELECT portal_user_no, email, app.why_not_alerted($1, active, email, NULL) FROM app.portal_users
		WHERE portal_user_no `+among, args...).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&no, &email, &notDue}, func() error {
			if i, found := slices.BinarySearch(nos, no); found {
				w.recipients[i].email, w.recipients[i].notDue = email, notDue
			}
			return nil
		})
		return err
	})
	// Few addresses are dead. They have a query of their own, because with a second table in
	// the query above Postgres may read that table once per recipient.
	q.Queue(`
		SELECT x.portal_user_no, app.why_not_alerted($1, u.active, u.email, x.reason)
		FROM record.dead_addresses x JOIN app.portal_users u ON u.portal_user_no = x.portal_user_no AND u.email_version = x.address_version
		WHERE x.portal_user_no `+among, args...).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&no, &notDue}, func() error {
			if i, found := slices.BinarySearch(nos, no); found {
				w.recipients[i].notDue = notDue
			}
			return nil
		})
		return err
	})
	if err := db.SendBatch(ctx, q).Close(); err != nil {
		return fmt.Errorf("loading the addresses of the recipients: %w", err)
	}
	return nil
}

// sparse: the portal users are read by the range of their numbers, which is cheaper, unless
// fewer than 1/sparse of the numbers in it are recipients.
const sparse = 4

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

func into(claims *[]claim) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
		*claims, err = pgx.CollectRows(rows, scanClaim)
		return err
	}
}

func scanClaim(row pgx.CollectableRow) (claim, error) {
	var c claim
	var bits []byte
	err := row.Scan(&c.attempt, &c.request, &c.id, &c.claimedBy, &bits, &c.answer, &c.sendgridID, &c.refusals)
	c.positions = positions(bits)
	return c, err
}
