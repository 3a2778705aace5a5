package messages

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// Delivery is one message in one portal user's inbox.
type Delivery struct {
	PortalUserNo int32
	PortalUserID string
	Name         string
	DeliveredAt  time.Time
	AlertState   string
	AlertReason  string
	AlertAt      *time.Time
	Attempts     int // requests to SendGrid for this alert
	OpenedAt     *time.Time
}

// Filter chooses deliveries; its zero value chooses all.
type Filter struct {
	Alert  events.AlertState // "": any
	Reason string            // of the alert's state, word for word; "": any. It needs Alert
	Opened *bool             // nil: either
}

// NoAddress chooses deliveries whose alert was skipped because the portal user has no e-mail
// address.
var NoAddress = Filter{Alert: events.AlertSkipped, Reason: "no e-mail address"}

// Deliveries returns up to limit deliveries of a message with portal user numbers above
// after, in order of number.
func (rd *Reader) Deliveries(ctx context.Context, message uuid.UUID, f Filter, after int32, limit int) (page []Delivery, err error) {
	if after == math.MaxInt32 {
		return nil, nil // there is no higher number, and after+1 would overflow in Postgres
	}
	err = pgx.BeginTxFunc(ctx, rd.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, alongIndexes); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, f.numbers(), append([]any{planned}, f.args(message, after, limit)...)...)
		if err != nil {
			return err
		}
		numbers, err := pgx.CollectRows(rows, pgx.RowTo[int32])
		if err != nil {
			return err
		}
		rows, err = tx.Query(ctx, selectDeliveries, planned, message, numbers)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, scanDelivery)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading deliveries of message %s: %w", message, err)
	}
	return page, nil
}

// Right after a blast, Postgres has no statistics of it. It expects a few rows instead of a
// million, and would read and sort all of them for a page of fifty. So these settings restrict
// it to indexes, and each condition on a row is a subquery of one row, which Postgres can't
// turn into a join of whole tables.
const alongIndexes = `SELECT set_config(name, 'off', true) FROM unnest(ARRAY['enable_bitmapscan',
	'enable_hashjoin', 'enable_material', 'enable_mergejoin', 'enable_seqscan', 'enable_sort']) AS name`

// attempts is the number of requests to SendGrid for an alert. Outcomes are numbered by
// attempt, and an attempt with the outcome skipped made no request.
const attempts = `greatest(coalesce(x.attempt, c.alert_attempt) - (coalesce(x.state, c.alert_state) = 'skipped')::integer, 0)`

const selectDeliveries = `
	SELECT wanted.no, u.portal_user_id, u.name, c.delivered_at,
	       coalesce(x.state, c.alert_state), coalesce(x.reason, c.alert_reason), coalesce(x.at, c.alert_at),
	       ` + attempts + `, o.opened_at
	FROM unnest($2::integer[]) WITH ORDINALITY AS wanted (no, place)` + partByPart + `
	JOIN app.portal_users u ON u.portal_user_no = wanted.no
	ORDER BY wanted.place`

// partByPart is record.delivery_status for the wanted numbers, with each part looked up by
// its key. With the view, Postgres may start the join at the chunks: a thousand of them for
// every delivery of a large message.
const partByPart = `
	CROSS JOIN LATERAL (SELECT chunk FROM record.deliveries d WHERE d.message_id = $1 AND d.portal_user_no = wanted.no LIMIT 1) d
	CROSS JOIN LATERAL (SELECT * FROM record.chunks c WHERE c.message_id = $1 AND c.chunk = d.chunk LIMIT 1) c
	LEFT JOIN LATERAL (SELECT * FROM record.alert_exceptions x WHERE x.message_id = $1 AND x.portal_user_no = wanted.no LIMIT 1) x ON true
	LEFT JOIN LATERAL (SELECT * FROM record.opens o WHERE o.message_id = $1 AND o.portal_user_no = wanted.no LIMIT 1) o ON true`

func scanDelivery(row pgx.CollectableRow) (Delivery, error) {
	d, err := pgx.RowToStructByPos[Delivery](row)
	d.DeliveredAt, d.AlertAt, d.OpenedAt = d.DeliveredAt.UTC(), utc(d.AlertAt), utc(d.OpenedAt)
	return d, err
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// The queries for the portal user numbers of a page, each along an index of the smallest
// sufficient table. $1 is the message, $2 the number after which the page starts, $3 the
// limit, $4 the state of the alert, $5 its reason. OPENED is replaced by the condition on
// opening, EXCEPTIONREASON and CHUNKREASON by those on the reason.
const (
	anyDelivery = `
	SELECT d.portal_user_no AS no FROM record.deliveries d
	WHERE d.message_id = $1 AND d.portal_user_no > $2
	ORDER BY no LIMIT $3`

	// If most recipients of a large message have opened it, chunks in which all have are
	// skipped by counting, which costs a tenth of a look at each delivery.
	unopenedDelivery = `
	SELECT d.portal_user_no AS no
	FROM record.chunks c
	CROSS JOIN LATERAL (
	    SELECT d.portal_user_no FROM record.deliveries d
	    WHERE d.message_id = c.message_id AND d.portal_user_no BETWEEN greatest(c.first_no, $2 + 1) AND c.last_no
	      AND (SELECT true FROM record.opens o WHERE o.message_id = d.message_id AND o.portal_user_no = d.portal_user_no) IS NULL
	    ORDER BY d.portal_user_no LIMIT $3) d
	WHERE c.message_id = $1 AND c.last_no > $2 AND c.deliveries > (
	    SELECT count(*) FROM record.opens o
	    WHERE o.message_id = c.message_id AND o.portal_user_no BETWEEN c.first_no AND c.last_no)
	ORDER BY c.chunk, d.portal_user_no LIMIT $3`

	openedDelivery = `
	SELECT d.portal_user_no AS no FROM record.opens d
	WHERE d.message_id = $1 AND d.portal_user_no > $2
	ORDER BY no LIMIT $3`

	openedInState = `
	SELECT o.portal_user_no AS no FROM record.opens o
	WHERE o.message_id = $1 AND o.portal_user_no > $2
	  AND coalesce(
	      (SELECT x.state FROM record.alert_exceptions x WHERE x.message_id = o.message_id AND x.portal_user_no = o.portal_user_no),
	      (SELECT c.alert_state FROM record.chunks c WHERE c.message_id = o.message_id AND c.chunk =
	          (SELECT d.chunk FROM record.deliveries d WHERE d.message_id = o.message_id AND d.portal_user_no = o.portal_user_no))) = $4
	ORDER BY no LIMIT $3`

	// The exceptions with this state, and the chunks with this state without their
	// exceptions. Numbers rise from chunk to chunk, so the order by chunk and number is the
	// order by number, and a page reads a chunk or two.
	inState = `
	(SELECT d.portal_user_no AS no FROM record.alert_exceptions d
	 WHERE d.message_id = $1 AND d.portal_user_no > $2 AND d.state = $4 EXCEPTIONREASON OPENED
	 ORDER BY no LIMIT $3)
	UNION ALL
	(SELECT d.portal_user_no AS no
	 FROM record.chunks c
	 CROSS JOIN LATERAL (
	     SELECT d.message_id, d.portal_user_no FROM record.deliveries d
	     WHERE d.message_id = c.message_id AND d.portal_user_no BETWEEN greatest(c.first_no, $2 + 1) AND c.last_no
	       AND (SELECT true FROM record.alert_exceptions x
	            WHERE x.message_id = d.message_id AND x.portal_user_no = d.portal_user_no) IS NULL OPENED
	     ORDER BY d.portal_user_no LIMIT $3) d
	 WHERE c.message_id = $1 AND c.last_no > $2 AND c.alert_state = $4 CHUNKREASON
	 ORDER BY c.chunk, d.portal_user_no LIMIT $3)
	ORDER BY no LIMIT $3`
)

// numbers returns the query for a page of the filter.
func (f Filter) numbers() string {
	opened := f.Opened != nil && *f.Opened
	switch {
	case f.Alert == "" && opened:
		return openedDelivery
	case f.Alert == events.AlertAccepted && f.Reason == "" && opened: // of two large sets, the smaller
		return openedInState
	case f.Alert == "" && f.Opened != nil:
		return unopenedDelivery
	case f.Alert == "":
		return anyDelivery
	default:
		exception, chunk := "", ""
		if f.Reason != "" {
			exception, chunk = "AND d.reason = $5", "AND c.alert_reason = $5"
		}
		return strings.NewReplacer("OPENED", f.opening(), "EXCEPTIONREASON", exception, "CHUNKREASON", chunk).Replace(inState)
	}
}

// args returns the arguments of the query that numbers returns.
func (f Filter) args(message uuid.UUID, after int32, limit int) []any {
	args := []any{message, after, limit}
	if f.Alert != "" {
		args = append(args, string(f.Alert))
	}
	if f.Alert != "" && f.Reason != "" {
		args = append(args, f.Reason)
	}
	return args
}

func (f Filter) opening() string {
	const opened = `AND (SELECT true FROM record.opens o WHERE o.message_id = d.message_id AND o.portal_user_no = d.portal_user_no)`
	switch {
	case f.Opened == nil:
		return ""
	case *f.Opened:
		return opened
	default:
		return opened + " IS NULL"
	}
}
