package record

import (
	"fmt"

	"postern/internal/events"
)

func isOutcome(t events.Type) bool {
	switch t {
	case events.TypeAlertsAccepted, events.TypeAlertsFailed, events.TypeAlertsSkipped, events.TypeAlertsUnknown:
		return true
	}
	return false
}

// outcome projects what one attempt at a chunk's alerts came to. A thousand
// recipients of one state are one row; only the exceptions have rows.
//
// The first outcome of a chunk counts. One thing may follow it: the answer to an
// attempt that was declared unknown, when it arrives after all. It replaces the
// unknown whole. See docs/states.md.
func outcome(b *batch, p *prepared, e events.AlertOutcome) error {
	m, err := b.message(e.MessageID)
	if err != nil {
		return err
	}
	c, ok := b.chunks[chunkKey{e.MessageID, e.Chunk}]
	switch {
	case !ok:
		return park("no deliveries.created of chunk %d stands before it", e.Chunk)
	case e.Recipients != c.deliveries || len(e.Exceptions) > c.deliveries:
		return park("it speaks of %d recipients where the chunk has %d", e.Recipients, c.deliveries)
	case c.state == events.AlertPending:
	case c.state == events.AlertUnknown && e.State != events.AlertUnknown && e.Attempt == c.attempt:
		if err := b.takeBack(m, c); err != nil {
			return err
		}
	default:
		return tooLate
	}
	c.dirty = true
	c.state, c.reason, c.attempt, c.at = e.State, e.Reason, e.Attempt, &p.event.Time
	m.alerts[e.State] += c.deliveries - len(e.Exceptions)
	for _, x := range e.Exceptions {
		m.alerts[x.State]++
		b.exceptions = append(b.exceptions, []any{e.MessageID, x.PortalUserNo, e.Chunk, string(x.State), x.Reason,
			e.Attempt, p.event.Time})
	}
	return nil
}

// takeBack undoes a chunk's outcome before another takes its place. It is rare,
// so it may ask Postgres; exceptions that this very batch was going to write are
// dropped from it.
func (b *batch) takeBack(m *messageRow, c *chunkRow) error {
	rest := c.deliveries
	rows, err := b.tx.Query(b.ctx, `DELETE FROM alert_exceptions
		WHERE message_id = $1 AND chunk = $2 RETURNING state`, c.key.message, c.key.chunk)
	if err != nil {
		return fmt.Errorf("taking an outcome back: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var state events.AlertState
		if err := rows.Scan(&state); err != nil {
			return fmt.Errorf("taking an outcome back: %w", err)
		}
		m.alerts[state]--
		rest--
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("taking an outcome back: %w", err)
	}
	kept := b.exceptions[:0]
	for _, x := range b.exceptions {
		if x[0] == c.key.message && x[2] == c.key.chunk {
			m.alerts[events.AlertState(x[3].(string))]--
			rest--
			continue
		}
		kept = append(kept, x)
	}
	b.exceptions = kept
	m.alerts[c.state] -= rest
	return nil
}
