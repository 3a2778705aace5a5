package project

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/recorder/state"
)

// messageRow is a row of messages, loaded or new, as the events of the batch
// change it.
type messageRow struct {
	id           uuid.UUID
	isNew, dirty bool
	seq          uint64
	sent         events.MessageSent // new ones only
	sender       string
	bulk         bool
	sentAt       time.Time
	status       state.Message
	releasedAt   *time.Time
	cancelledAt  *time.Time
	completedAt  *time.Time
	recalledAt   *time.Time
	recallReason *string
	manifest     *string
	audience     *int32
	delivered    int
	opened       int
	alerts       map[events.AlertState]int
	notice       state.Notice
}

func (b *batch) loadMessages(q *pgx.Batch, ids []uuid.UUID) {
	if len(ids) == 0 {
		return
	}
	q.Queue(`
		SELECT message_id, sender_id, bulk, notice, status, released_at, cancelled_at, completed_at, recalled_at, recall_reason,
		       manifest_digest, audience, delivered, opened, alert_accepted, alert_failed, alert_skipped, alert_unknown
		FROM messages WHERE message_id = ANY($1)`, ids).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			m := &messageRow{}
			var accepted, failed, skipped, unknown int
			if err := rows.Scan(&m.id, &m.sender, &m.bulk, &m.notice, &m.status, &m.releasedAt, &m.cancelledAt, &m.completedAt, &m.recalledAt,
				&m.recallReason, &m.manifest, &m.audience, &m.delivered, &m.opened, &accepted, &failed, &skipped, &unknown); err != nil {
				return fmt.Errorf("loading messages: %w", err)
			}
			m.alerts = map[events.AlertState]int{events.AlertAccepted: accepted, events.AlertFailed: failed,
				events.AlertSkipped: skipped, events.AlertUnknown: unknown}
			b.messages[m.id] = m
		}
		return rows.Err()
	})
}

// flushMessages inserts the new messages and updates the others, in the order of
// their ids, so that the work does not depend on the order of a map.
func (b *batch) flushMessages() error {
	for _, m := range sortedBy(b.messages, func(x, y *messageRow) int { return bytes.Compare(x.id[:], y.id[:]) }) {
		if m.isNew {
			recipients, err := json.Marshal(m.sent.Recipients)
			if err != nil {
				return fmt.Errorf("encoding the recipients: %w", err)
			}
			attachments, err := json.Marshal(m.sent.Attachments)
			if err != nil {
				return fmt.Errorf("encoding the attachments: %w", err)
			}
			b.queue(`INSERT INTO messages (message_id, seq, sender_id, recipients, attachments, subject_digest, body_digest,
				status, hold, bulk, sent_at, release_at) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12)`,
				m.id, m.seq, m.sent.SenderID, recipients, attachments, m.sent.SubjectDigest, m.sent.BodyDigest,
				state.Initial(m.sent.Hold), string(m.sent.Hold), m.bulk, m.sentAt, m.sent.ReleaseAt)
		}
		if m.dirty {
			b.queue(`UPDATE messages SET status=$2, released_at=$3, cancelled_at=$4, completed_at=$5, recalled_at=$6,
				recall_reason=$7, manifest_digest=$8, audience=$9, delivered=$10, opened=$11,
				alert_accepted=$12, alert_failed=$13, alert_skipped=$14, alert_unknown=$15, notice=$16 WHERE message_id=$1`,
				m.id, m.status, m.releasedAt, m.cancelledAt, m.completedAt, m.recalledAt, m.recallReason, m.manifest,
				m.audience, m.delivered, m.opened, m.alerts[events.AlertAccepted], m.alerts[events.AlertFailed],
				m.alerts[events.AlertSkipped], m.alerts[events.AlertUnknown], m.notice)
		}
	}
	return nil
}
