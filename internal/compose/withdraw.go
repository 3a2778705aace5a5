package compose

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/content/message"
	"postern/internal/events"
	"postern/internal/limits"
	"postern/internal/problem"
	"postern/internal/recorder/state"
)

// current is the current state of a message.
type current struct {
	sender string
	status state.Message
	opened int
}

// current reads the current state of a message from the record, or from its claim if the
// message was just published and is not projected yet.
func (c *Composer) current(ctx context.Context, id uuid.UUID) (s current, err error) {
	err = c.pool.QueryRow(ctx, `
		SELECT sender_id, status, opened FROM (
			SELECT 1 AS rank, sender_id, status, opened FROM record.messages WHERE message_id = $1
			UNION ALL
			SELECT 2, staff_id, CASE WHEN release_at > sent_at THEN 'scheduled' ELSE 'sending' END, 0
			FROM app.sends WHERE message_id = $1 AND status = $2) AS known
		ORDER BY rank LIMIT 1`, id, statusPublished).Scan(&s.sender, &s.status, &s.opened)
	if errors.Is(err, pgx.ErrNoRows) {
		return current{}, message.ErrNotFound
	}
	if err != nil {
		return current{}, fmt.Errorf("reading the state of message %s: %w", id, err)
	}
	return s, nil
}

// own is current for a message that staff sent.
func (c *Composer) own(ctx context.Context, staff policy.Subject, id uuid.UUID) (current, error) {
	if err := policy.Allow(staff, policy.SendMessage); err != nil {
		return current{}, err
	}
	s, err := c.current(ctx, id)
	if err == nil && s.sender != staff.ID {
		return current{}, message.ErrNotFound
	}
	return s, err
}

// Cancel cancels a message before it is released: the other end of step 3. Of a
// cancellation and a release, the first one on the record counts; if that is the release,
// the error is [ErrTooLate]. A second cancellation has no effect.
func (c *Composer) Cancel(ctx context.Context, staff policy.Subject, id uuid.UUID) error {
	s, err := c.own(ctx, staff, id)
	if err != nil {
		return err
	}
	if s.status.Allows(events.TypeMessageCancelled) {
		s, err = c.withdraw(ctx, staff, events.MessageCancelled{MessageID: id, StaffID: staff.ID})
		if err != nil {
			return err
		}
	}
	if s.status != state.Cancelled {
		return tooLate("too late: the message is already being delivered. Recall it instead")
	}
	return nil
}

// ErrNotDisabled is the error if the sender of the scheduled messages is not disabled:
// only then may another staff member cancel them.
var ErrNotDisabled = problem.StaffNotDisabled.New("this staff member is not disabled: only they can cancel their scheduled messages")

// Waiting returns the number of a staff member's scheduled messages that are not released.
func (c *Composer) Waiting(ctx context.Context, sender string) (int, error) {
	waiting, err := c.waiting(ctx, sender)
	return len(waiting), err
}

func (c *Composer) waiting(ctx context.Context, sender string) ([]uuid.UUID, error) {
	rows, err := c.pool.Query(ctx, `SELECT message_id FROM record.messages WHERE sender_id = $1 AND status = 'scheduled' ORDER BY release_at`, sender)
	if err != nil {
		return nil, fmt.Errorf("looking for scheduled messages: %w", err)
	}
	waiting, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("looking for scheduled messages: %w", err)
	}
	return waiting, nil
}

// CancelAllOf cancels the scheduled messages of a disabled staff member and returns their
// number. staff needs the permission to manage staff. A message that is released during
// the call is delivered. After an error, call it again.
func (c *Composer) CancelAllOf(ctx context.Context, staff policy.Subject, sender access.Staff) (n int, err error) {
	if err := policy.Allow(staff, policy.ChangeStaff); err != nil {
		return 0, err
	}
	if sender.DisabledAt == nil {
		return 0, ErrNotDisabled
	}
	waiting, err := c.waiting(ctx, sender.ID)
	if err != nil {
		return 0, err
	}
	for _, id := range waiting {
		s, err := c.withdraw(ctx, staff, events.MessageCancelled{MessageID: id, StaffID: staff.ID})
		if err != nil {
			return n, err
		}
		if s.status == state.Cancelled {
			n++
		}
	}
	return n, nil
}

// CheckReason returns an [Invalid] for a reason that is blank or longer than
// [limits.Reason].
func CheckReason(reason string) error {
	var f faults
	checkText(&f, "body.reason", reason, limits.Reason, "")
	return f.err()
}

// Recall recalls a message that was delivered, completely or in part: its recipients can't
// read it any more. If there is nothing to recall, the error is [ErrTooLate]. A second
// recall has no effect, and the first reason stays.
func (c *Composer) Recall(ctx context.Context, staff policy.Subject, id uuid.UUID, reason string) error {
	if err := CheckReason(reason); err != nil {
		return err
	}
	s, err := c.own(ctx, staff, id)
	if err != nil {
		return err
	}
	if s.status.Allows(events.TypeMessageRecalled) {
		s, err = c.withdraw(ctx, staff, events.MessageRecalled{MessageID: id, StaffID: staff.ID, Reason: reason, Opened: s.opened})
		if err != nil {
			return err
		}
	}
	switch s.status {
	case state.Recalled:
		return nil
	case state.Scheduled:
		return tooLate("too late to recall, or too early: the message has not been released. Cancel it instead")
	default:
		return tooLate("too late: the message is " + string(s.status))
	}
}

// tooLate returns an [ErrTooLate] with a text.
func tooLate(why string) error { return problem.TooLate.Wrap(ErrTooLate, why) }

// withdraw publishes the event and returns the state after it. If we crash after the
// publish, the withdrawal counts.
func (c *Composer) withdraw(ctx context.Context, staff policy.Subject, fact events.Body) (current, error) {
	seq, err := c.cfg.Facts.Record(ctx, staff.Actor(), c.now(), fact)
	if err != nil {
		return current{}, err
	}
	if err := c.cfg.Facts.WaitToRead(ctx, seq); err != nil {
		return current{}, err
	}
	return c.current(ctx, fact.Message())
}
