package notify

import (
	"context"
	"fmt"

	"postern/internal/events"
)

// leastFailures is how many alerts of a chunk must fail before it can pause its
// message: three failures in a chunk of ten mean little.
const leastFailures = 20

// alarm returns the event that pauses a message with more failures in a chunk than
// FailureLimit, to be published together with the outcome. A message pauses
// automatically only once: after an operator has resumed it, it continues whatever
// fails.
func (w *Worker) alarm(ctx context.Context, o events.AlertOutcome) ([]events.Event, error) {
	failed := failures(o)
	if w.FailureLimit <= 0 || failed < leastFailures || failed*100 <= w.FailureLimit*o.Recipients {
		return nil, nil
	}
	e, err := events.New(source, actor, w.Facts.Now(), events.AlertingPaused{Change: o.MessageID, MessageID: &o.MessageID, Automatic: true,
		Reason: fmt.Sprintf("%d of %d alerts of one chunk failed, more than %d%%", failed, o.Recipients, w.FailureLimit)})
	if err != nil {
		return nil, err
	}
	var before bool
	if err := w.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM record.events WHERE id = $1)`, e.ID).Scan(&before); err != nil {
		return nil, fmt.Errorf("looking whether message %s has paused automatically before: %w", o.MessageID, err)
	}
	if before {
		return nil, nil
	}
	w.Logger.Error("ALERTING OF A MESSAGE WAS PAUSED AUTOMATICALLY: find out why its alerts fail, then resume it",
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
