package project

import (
	"fmt"

	"postern/internal/events"
)

func erasureRequested(b *batch, p *Prepared, e events.ErasureRequested) error {
	return b.execOrLate(`INSERT INTO erasures (erasure_id, message_id, seq, status, reason, requested_by, requested_at)
		SELECT $1, $2::uuid, $3, 'requested', $4, $5, $6
		WHERE NOT EXISTS (SELECT FROM erasures WHERE message_id = $2 AND status <> 'withdrawn')`,
		e.ErasureID, e.MessageID, p.Stored.Seq, e.Reason, p.Event.Actor, p.Event.Time)
}

func erasureWithdrawn(b *batch, p *Prepared, e events.ErasureWithdrawn) error {
	return b.execOrLate(`UPDATE erasures SET status = 'withdrawn', settled_by = $3, settled_at = $4
		WHERE erasure_id = $1 AND message_id = $2 AND status = 'requested'`,
		e.ErasureID, e.MessageID, p.Event.Actor, p.Event.Time)
}

// contentErased refuses an erasure that the requester approved, whichever process
// published the event.
func contentErased(b *batch, p *Prepared, e events.ContentErased) error {
	if e.ApprovedBy != p.Event.Actor {
		return park("its approver is not its actor")
	}
	var own bool
	err := b.tx.QueryRow(b.ctx, `SELECT EXISTS (SELECT FROM erasures WHERE erasure_id = $1 AND requested_by = $2)`,
		e.ErasureID, e.ApprovedBy).Scan(&own)
	if err != nil {
		return fmt.Errorf("looking for the erasure: %w", err)
	}
	if own {
		return park("the person who requested the erasure approved it")
	}
	return b.execOrLate(`UPDATE erasures SET status = 'erased', settled_by = $3, settled_at = $4, early = $5
		WHERE erasure_id = $1 AND message_id = $2 AND status = 'requested'`,
		e.ErasureID, e.MessageID, e.ApprovedBy, p.Event.Time, e.Early)
}

func retentionChanged(b *batch, p *Prepared, e events.RetentionChanged) error {
	return b.exec(`INSERT INTO retention (seq, years, before, changed_at) VALUES ($1, $2, $3, $4)`,
		p.Stored.Seq, e.Years, e.Before, p.Event.Time)
}

// execOrLate is exec for an event that came too late if the statement changes no row.
func (b *batch) execOrLate(sql string, args ...any) error {
	tag, err := b.tx.Exec(b.ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("writing a row: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return tooLate
	}
	return nil
}
