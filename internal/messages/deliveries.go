package messages

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"postern/internal/events"
)

// Delivery is one message in one portal user's inbox.
type Delivery struct {
	PortalUserNo int32
	PortalUserID string
	Name         string
	DeliveredAt  time.Time
	ReadableAt   *time.Time `db:"-"` // see [ReadableAt]
	AlertState   string
	AlertReason  string
	AlertAt      *time.Time
	Attempts     int // requests to SendGrid for this alert
	OpenedAt     *time.Time
}

// Deliveries returns up to limit deliveries of a message with portal user numbers above
// after, in order of number.
func (rd *Reader) Deliveries(ctx context.Context, message uuid.UUID, f Filter, after int32, limit int) (page []Delivery, err error) {
	err = rd.reading(ctx, func(s *snapshot) error {
		w := walk{s, message, f}
		found, err := w.next(after, limit)
		if err != nil {
			return err
		}
		page, err = w.complete(found)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading deliveries of message %s: %w", message, err)
	}
	return page, nil
}

// alert is the state of an alert, as a chunk or an exception has it.
type alert struct {
	state, reason string
	attempt       int
	at            *time.Time
}

func (d *Delivery) setAlert(a alert) {
	d.AlertState, d.AlertReason, d.AlertAt, d.Attempts = a.state, a.reason, utc(a.at), Requests(events.AlertState(a.state), a.attempt)
}

// Requests is the number of requests to SendGrid for an alert. Outcomes are numbered by attempt,
// and an attempt with the outcome skipped made no request.
func Requests(state events.AlertState, attempt int) int {
	if state == events.AlertSkipped {
		return max(attempt-1, 0)
	}
	return attempt
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
