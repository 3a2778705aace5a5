package project

import (
	"github.com/google/uuid"

	"postern/internal/events"
)

// parkedSettled keeps the first decision about a parked event for each number of tries.
// The worker that parked the event, and the pages, read the decision from this row.
func parkedSettled(b *batch, p *Prepared, e events.ParkedDecision) error {
	verdict := "discarded"
	if e.Retried {
		verdict = "retried"
	}
	return b.exec(`INSERT INTO parked_decisions (parked_id, tries, verdict, reason, decided_by, decided_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT DO NOTHING`, e.ParkedID, e.Tries, verdict, e.Reason, p.Event.Actor, p.Event.Time)
}

// everyMessage is the message ID of a pause of all messages.
var everyMessage = uuid.Nil

// alertingPaused keeps an existing pause: a second pause changes nothing.
func alertingPaused(b *batch, p *Prepared, e events.AlertingPaused) error {
	return b.exec(`INSERT INTO pauses (message_id, reason, automatic, paused_by, paused_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT DO NOTHING`, pausedMessage(e.MessageID), e.Reason, e.Automatic, p.Event.Actor, p.Event.Time)
}

func alertingResumed(b *batch, _ *Prepared, e events.AlertingResumed) error {
	return b.exec(`DELETE FROM pauses WHERE message_id = $1`, pausedMessage(e.MessageID))
}

func pausedMessage(id *uuid.UUID) uuid.UUID {
	if id == nil {
		return everyMessage
	}
	return *id
}
