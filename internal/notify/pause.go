package notify

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"postern/internal/alerting"
	"postern/internal/events"
)

// never is when a chunk is due whose alerts are paused.
var never = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// gate says whether a chunk must wait because alerting is paused, for its message
// or for all. It is asked before each chunk; one that is in hand already is
// finished, since what was sent of it can't be taken back.
func (w *Worker) gate(ctx context.Context, ref chunkRef) (*later, error) {
	var paused bool
	err := w.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM record.pauses WHERE message_id IN ($1, $2))`, ref.message, uuid.Nil).Scan(&paused)
	if err != nil {
		return nil, fmt.Errorf("looking whether alerting is paused: %w", err)
	}
	if !paused {
		return nil, nil
	}
	return &later{never, alerting.Held}, nil
}

// releasePaused makes the chunks due at once whose pause has ended. It goes by what
// the record says now and not by the moment of the change, so that no crash can
// strand a chunk.
func (w *Worker) releasePaused(ctx context.Context) error {
	_, err := w.Pool.Exec(ctx, `
		UPDATE app.alert_retries r SET due_at = $1
		WHERE r.due_at = $2 AND NOT EXISTS (SELECT FROM record.pauses p WHERE p.message_id IN (r.message_id, $3))`,
		w.Now(), never, uuid.Nil)
	if err != nil {
		return fmt.Errorf("releasing alerts that were paused: %w", err)
	}
	return nil
}

// leastFailures is how many alerts of a chunk must fail before it can pause its
// message: of three that fail in a chunk of ten nobody learns anything.
const leastFailures = 20

// alarm gives the event that pauses a message of whose chunk more failed than is
// usual, to be published together with the outcome that says so. A message pauses
// by itself once: after somebody has resumed it, it goes on whatever fails.
func (w *Worker) alarm(ctx context.Context, o events.AlertOutcome) ([]events.Event, error) {
	failed := failures(o)
	if w.FailureLimit <= 0 || failed < leastFailures || failed*100 <= w.FailureLimit*o.Recipients {
		return nil, nil
	}
	e, err := events.New(source, actor, w.Now(), events.AlertingPaused{Change: o.MessageID, MessageID: &o.MessageID, Automatic: true,
		Reason: fmt.Sprintf("%d of %d alerts of one chunk failed, more than %d %%", failed, o.Recipients, w.FailureLimit)})
	if err != nil {
		return nil, err
	}
	var before bool
	if err := w.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM record.events WHERE id = $1)`, e.ID).Scan(&before); err != nil {
		return nil, fmt.Errorf("looking whether message %s has paused by itself before: %w", o.MessageID, err)
	}
	if before {
		return nil, nil
	}
	w.Logger.Error("ALERTING OF A MESSAGE PAUSES BY ITSELF: look at why its alerts fail, then resume it by hand",
		"message_id", o.MessageID, "chunk", o.Chunk, "failed", failed, "recipients", o.Recipients, "limit_percent", w.FailureLimit)
	return []events.Event{e}, nil
}

func failures(o events.AlertOutcome) (failed int) {
	if o.State == events.AlertFailed {
		failed = o.Recipients - len(o.Exceptions)
	}
	for _, x := range o.Exceptions {
		if x.State == events.AlertFailed {
			failed++
		}
	}
	return failed
}
