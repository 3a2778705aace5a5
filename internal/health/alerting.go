package health

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Alerting is a message of which alerts are still to be sent, now or after a pause.
type Alerting struct {
	MessageID uuid.UUID
	SentAt    time.Time
	Sender    string // the name; "" if it is not known
	Waiting   int    // alerts without an outcome; 0 while the recipients are not known yet
}

// StillAlerting returns the messages of which alerts are still to be sent, the latest first: at most
// fifty, of the thousand newest.
func (h *Status) StillAlerting(ctx context.Context) ([]Alerting, error) {
	rows, err := h.cfg.Pool.Query(ctx, `
		SELECT m.message_id, m.sent_at, coalesce(s.name, ''), greatest(coalesce(m.audience, 0) - m.outcomes, 0)
		FROM (SELECT *, alert_accepted + alert_failed + alert_skipped + alert_unknown AS outcomes FROM record.messages ORDER BY message_id DESC LIMIT 1000) m
		LEFT JOIN record.staff s ON s.staff_id = m.sender_id
		WHERE m.status IN ('scheduled', 'sending') OR m.status = 'sent' AND m.outcomes < m.delivered
		   OR EXISTS (SELECT FROM app.alert_work w WHERE w.message_id = m.message_id AND w.state <> 'done') -- of a replay
		ORDER BY m.message_id DESC LIMIT 50`)
	if err != nil {
		return nil, fmt.Errorf("reading the messages that still alert: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Alerting])
	if err != nil {
		return nil, fmt.Errorf("reading the messages that still alert: %w", err)
	}
	return all, nil
}
