package notify

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"postern/internal/events"
)

// held says whether a pause holds the alerts of a message. It is asked before the
// first request of each chunk that a worker takes up; a chunk that is in hand when a
// pause begins is finished.
func (w *Worker) held(ctx context.Context, message uuid.UUID) (held bool, err error) {
	err = w.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM record.held_messages WHERE message_id = $1)`, message).Scan(&held)
	if err != nil {
		return false, fmt.Errorf("looking whether alerting is paused: %w", err)
	}
	return held, nil
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
		Reason: fmt.Sprintf("%d of %d alerts of one chunk failed, more than %d%%", failed, o.Recipients, w.FailureLimit)})
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
