package project

import (
	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/recorder/state"
)

// ending is what of a message decides about its notice.
func (m *messageRow) ending() state.Ending {
	return state.Ending{Notice: m.notice, Status: m.status, Bulk: m.bulk, Delivered: m.delivered,
		Accepted: m.alerts[events.AlertAccepted], Failed: m.alerts[events.AlertFailed],
		Skipped: m.alerts[events.AlertSkipped], Unknown: m.alerts[events.AlertUnknown]}
}

// notice makes the notice to the sender of a message, if the event is the one by which it is due.
// It is called after each event that changes what decides about it, so that the notice does not
// depend on where a batch ends. A message has one notice: made stays made.
func (b *batch) notice(m *messageRow, p *Prepared) error {
	if !m.ending().MakesNotice() {
		return nil
	}
	m.notice, m.dirty = state.NoticeMade, true
	return b.exec(`INSERT INTO notices (message_id, sender_id, bulk, ended_seq, ended_at, seq, at) VALUES ($1, $2, $3, $4, $5, $4, $5)`,
		m.id, m.sender, m.bulk, p.Stored.Seq, p.Event.Time)
}

// repeatedOf notes that a replay has repeated alerts of a message that has a notice. If several
// have, the notice is renewed when the last of them ends.
func (b *batch) repeatedOf(m *messageRow, replay uuid.UUID) error {
	if m.notice != state.NoticeMade {
		return nil
	}
	return b.exec(`UPDATE notices SET replay_id = $2 WHERE message_id = $1`, m.id, replay)
}

// renewNotices renews the notices of the messages whose alerts a replay has repeated, as it ends:
// they are unread again, before all others.
func (b *batch) renewNotices(p *Prepared, replay uuid.UUID) error {
	return b.exec(`UPDATE notices SET seq = $2, at = $3, replay_id = NULL WHERE replay_id = $1`, replay, p.Stored.Seq, p.Event.Time)
}
