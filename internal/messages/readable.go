package messages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// ReadableAt returns since when the recipient of a delivery could read it; nil: not yet, as far as
// the record says. Everyone could from the delivery on, except those who had no e-mail address then,
// as the reason of their alert says: they can from when a password was first set for their account.
// since is that time (app.signs_in_since), nil for none. A message that was opened could be read.
func ReadableAt(delivered time.Time, alert events.AlertState, reason string, since, opened *time.Time) *time.Time {
	switch {
	case !hadNoAddress(alert, reason):
		return &delivered
	case since == nil && opened == nil:
		return nil
	case since == nil || since.Before(delivered):
		return &delivered
	}
	return utc(since)
}

// hadNoAddress reports whether the recipient of an alert had no e-mail address.
func hadNoAddress(alert events.AlertState, reason string) bool {
	return alert == NoAddress.Alert && reason == NoAddress.Reason
}

// ReadableLater reports whether the recipient could not read the message when it was delivered.
func (d Delivery) ReadableLater() bool {
	return d.ReadableAt == nil || d.ReadableAt.After(d.DeliveredAt)
}

// readable gives deliveries, in order of portal user number, the time since when they could be read.
func (s *snapshot) readable(found []Delivery) error {
	var waiting []int32 // whose time is that of their first password
	for i := range found {
		d := &found[i]
		d.ReadableAt = ReadableAt(d.DeliveredAt, events.AlertState(d.AlertState), d.AlertReason, nil, d.OpenedAt)
		if hadNoAddress(events.AlertState(d.AlertState), d.AlertReason) {
			waiting = append(waiting, d.PortalUserNo)
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	rows, err := s.tx.Query(s.ctx, `SELECT u.portal_user_no, app.signs_in_since(u.portal_user_id) FROM app.portal_users u WHERE u.portal_user_no = ANY ($1)`, planned, waiting)
	if err != nil {
		return err
	}
	var no int32
	var since *time.Time
	for rows.Next() {
		if err := rows.Scan(&no, &since); err != nil {
			return err
		}
		i, _ := slices.BinarySearchFunc(found, no, func(d Delivery, no int32) int { return cmp.Compare(d.PortalUserNo, no) })
		d := &found[i]
		d.ReadableAt = ReadableAt(d.DeliveredAt, events.AlertState(d.AlertState), d.AlertReason, since, d.OpenedAt)
	}
	return rows.Err()
}

// To returns the delivery of a message to one portal user, nil if there is none.
func (rd *Reader) To(ctx context.Context, message uuid.UUID, portalUserID string) (to *Delivery, err error) {
	err = rd.reading(ctx, func(s *snapshot) error {
		var no int32
		if err := s.tx.QueryRow(ctx, `SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = $1`, portalUserID).Scan(&no); err != nil {
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			return err
		}
		w := walk{s, message, Filter{}}
		found, err := w.among([]int32{no})
		if err != nil {
			return err
		}
		if found, err = w.complete(found); err == nil && len(found) > 0 {
			to = &found[0]
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the delivery of message %s to portal user %s: %w", message, portalUserID, err)
	}
	return to, nil
}
