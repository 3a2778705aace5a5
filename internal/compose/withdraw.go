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

// standing is what has become of a message.
type standing struct {
	sender string
	status state.Message
	opened int
}

// standing reads what has become of a message: from the record, or, of one that
// was published a moment ago, from its claim.
func (c *Composer) standing(ctx context.Context, id uuid.UUID) (s standing, err error) {
	err = c.pool.QueryRow(ctx, `
		SELECT sender_id, status, opened FROM (
			SELECT 1 AS rank, sender_id, status, opened FROM record.messages WHERE message_id = $1
			UNION ALL
			SELECT 2, staff_id, CASE WHEN release_at > sent_at THEN 'scheduled' ELSE 'sending' END, 0
			FROM app.sends WHERE message_id = $1 AND status = $2) AS known
		ORDER BY rank LIMIT 1`, id, statusPublished).Scan(&s.sender, &s.status, &s.opened)
	if errors.Is(err, pgx.ErrNoRows) {
		return standing{}, message.ErrNotFound
	}
	if err != nil {
		return standing{}, fmt.Errorf("reading what has become of message %s: %w", id, err)
	}
	return s, nil
}

// own is standing for the sender alone.
func (c *Composer) own(ctx context.Context, staff policy.Subject, id uuid.UUID) (standing, error) {
	if err := policy.Allow(staff, policy.SendMessage); err != nil {
		return standing{}, err
	}
	s, err := c.standing(ctx, id)
	if err == nil && s.sender != staff.ID {
		return standing{}, message.ErrNotFound
	}
	return s, err
}

// Cancel calls a message off before it is released: the other end of step 3. Of
// a cancellation and a release, whichever is first on the record wins;
// [ErrTooLate] says that it was the release. Cancelling twice is cancelling once.
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
		return tooLate("too late: the message is being delivered already. Recall it instead")
	}
	return nil
}

// ErrNotDisabled says that only what a disabled staff member has scheduled is called
// off by another.
var ErrNotDisabled = problem.StaffNotDisabled.New("this staff member is not disabled: only they can cancel what they have scheduled")

// Waiting is how many messages a staff member has scheduled that have not gone out.
func (c *Composer) Waiting(ctx context.Context, sender string) (int, error) {
	waiting, err := c.waiting(ctx, sender)
	return len(waiting), err
}

func (c *Composer) waiting(ctx context.Context, sender string) ([]uuid.UUID, error) {
	rows, err := c.pool.Query(ctx, `SELECT message_id FROM record.messages WHERE sender_id = $1 AND status = 'scheduled' ORDER BY release_at`, sender)
	if err != nil {
		return nil, fmt.Errorf("looking for what is scheduled: %w", err)
	}
	waiting, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("looking for what is scheduled: %w", err)
	}
	return waiting, nil
}

// CancelAllOf calls off whatever a disabled staff member has scheduled, on the word of
// somebody who manages staff, and gives how many messages. One that is released
// meanwhile goes out. Cut short, it can be called again.
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

// CheckReason refuses, with an [Invalid], a reason that is none, or longer than
// [limits.Reason].
func CheckReason(reason string) error {
	var f faults
	checkText(&f, "body.reason", reason, limits.Reason, "")
	return f.err()
}

// Recall takes a message back that was delivered, wholly or in part: nobody can
// read it any more. [ErrTooLate] says that there is nothing to recall. Recalling
// twice is recalling once, for the reason that was given first.
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

// tooLate is an [ErrTooLate] that says why.
func tooLate(why string) error { return problem.TooLate.Wrap(ErrTooLate, why) }

// withdraw publishes the fact and gives what the record makes of it. A crash
// after the publish leaves it done.
func (c *Composer) withdraw(ctx context.Context, staff policy.Subject, fact events.Body) (standing, error) {
	seq, err := c.cfg.Facts.Record(ctx, staff.Actor(), c.now(), fact)
	if err != nil {
		return standing{}, err
	}
	if err := c.cfg.Facts.WaitToRead(ctx, seq); err != nil {
		return standing{}, err
	}
	return c.standing(ctx, fact.Message())
}
