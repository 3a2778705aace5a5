package health

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Share counts what happened to one message in a period.
type Share struct {
	MessageID uuid.UUID
	SentAt    time.Time
	Delivered int
	Opened    int
	Requests  int // answered by SendGrid
	Chunks    int // that got an outcome
	Alerts    int // in these chunks
	Failed    int // failed alerts of the message in total, not only in the period
	Unknown   int // unknown alerts of the message in total
}

// Messages returns the messages with deliveries, openings, requests or outcomes of alerts from
// one time up to another, the busiest first, at most a hundred.
func (h *Status) Messages(ctx context.Context, from, to time.Time) ([]Share, error) {
	rows, err := h.cfg.Pool.Query(ctx, `
		WITH busy AS (
			SELECT message_id, 0 AS delivered, 0 AS opened, count(*) AS requests, 0 AS chunks, 0 AS alerts FROM app.attempts
			WHERE answered_at >= $1 AND answered_at < $2 GROUP BY message_id
			UNION ALL
			SELECT message_id, 0, 0, 0, count(*), sum(deliveries) FROM record.chunks
			WHERE alert_at >= $1 AND alert_at < $2 GROUP BY message_id
			UNION ALL
			SELECT message_id, sum(deliveries), 0, 0, 0, 0 FROM record.chunks
			WHERE delivered_at >= $1 AND delivered_at < $2 GROUP BY message_id
			UNION ALL
			SELECT message_id, 0, count(*), 0, 0, 0 FROM record.opens
			WHERE opened_at >= $1 AND opened_at < $2 GROUP BY message_id)
		SELECT m.message_id, m.sent_at, sum(b.delivered)::bigint, sum(b.opened)::bigint, sum(b.requests)::bigint, sum(b.chunks)::bigint, sum(b.alerts)::bigint, m.alert_failed, m.alert_unknown
		FROM busy b JOIN record.messages m USING (message_id)
		GROUP BY m.message_id ORDER BY sum(b.alerts + b.delivered + b.opened) DESC, m.message_id DESC LIMIT 100`, from, to)
	if err != nil {
		return nil, fmt.Errorf("reading the messages of alerts: %w", err)
	}
	shares, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Share])
	if err != nil {
		return nil, fmt.Errorf("reading the messages of alerts: %w", err)
	}
	return shares, nil
}
