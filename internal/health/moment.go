package health

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Share is what one message had of a stretch of time.
type Share struct {
	MessageID uuid.UUID
	SentAt    time.Time
	Requests  int // answered by SendGrid
	Chunks    int // whose alerts came to an end
	Alerts    int // in them
	Failed    int // alerts of the message so far, whenever they failed
	Unknown   int // likewise
}

// Messages says which messages alerts were about from one moment up to another, the
// busiest first, at most a hundred.
func (b *Status) Messages(ctx context.Context, from, to time.Time) ([]Share, error) {
	rows, err := b.Pool.Query(ctx, `
		WITH busy AS (
			SELECT message_id, count(*) AS requests, 0 AS chunks, 0 AS alerts FROM app.attempts
			WHERE answered_at >= $1 AND answered_at < $2 GROUP BY message_id
			UNION ALL
			SELECT message_id, 0, count(*), sum(deliveries) FROM record.chunks
			WHERE alert_at >= $1 AND alert_at < $2 GROUP BY message_id)
		SELECT m.message_id, m.sent_at, sum(b.requests)::bigint, sum(b.chunks)::bigint, sum(b.alerts)::bigint, m.alert_failed, m.alert_unknown
		FROM busy b JOIN record.messages m USING (message_id)
		GROUP BY m.message_id ORDER BY sum(b.alerts) DESC, m.message_id DESC LIMIT 100`, from, to)
	if err != nil {
		return nil, fmt.Errorf("reading which messages alerts were about: %w", err)
	}
	shares, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Share])
	if err != nil {
		return nil, fmt.Errorf("reading which messages alerts were about: %w", err)
	}
	return shares, nil
}
