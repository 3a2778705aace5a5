package notice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access/policy"
	"postern/internal/store"
	"postern/internal/text/language"
)

// Mails reports whether a staff member wants an e-mail when a message of theirs to a group has
// ended.
func (ns *Notices) Mails(ctx context.Context, reader policy.Subject) (on bool, err error) {
	if err := ns.cfg.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM app.notice_mails WHERE staff_id = $1)`, reader.ID).Scan(&on); err != nil {
		return false, fmt.Errorf("reading who wants e-mails about notices: %w", err)
	}
	return on, nil
}

// SetMails stores whether a staff member wants these e-mails. Messages that ended before get none.
// Switching them off also stops those that wait.
func (ns *Notices) SetMails(ctx context.Context, reader policy.Subject, on bool) error {
	err := pgx.BeginFunc(ctx, ns.cfg.Pool, func(tx pgx.Tx) error {
		if on {
			_, err := tx.Exec(ctx, `INSERT INTO app.notice_mails (staff_id, after_seq) SELECT $1, seq FROM record.position ON CONFLICT DO NOTHING`, reader.ID)
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM app.notice_mails WHERE staff_id = $1`, reader.ID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE app.notice_letters SET state = 'skipped', changed_at = $2 WHERE staff_id = $1 AND state = 'waiting'`, reader.ID, ns.cfg.Now())
		return err
	})
	if err != nil {
		return fmt.Errorf("storing who wants e-mails about notices: %w", err)
	}
	return nil
}

// State is how far an e-mail about a notice is.
type State string

// The states of an e-mail about a notice, as the CHECK of app.notice_letters names them.
const (
	Waiting State = "waiting" // for its first or next try
	Sending State = "sending" // it is being handed over
	Sent    State = "sent"    // the e-mail service accepted it
	Skipped State = "skipped" // the sender may not sign in or has switched e-mails off
	Failed  State = "failed"  // it was refused, or not accepted for days
	Unknown State = "unknown" // it may have gone out; no second one is sent
)

// A Letter is the e-mail about the end of one message, whose turn it is.
type Letter struct {
	MessageID uuid.UUID
	StaffID   string
	// Email is the address of the sender. Due is false if they get no e-mail, because their account
	// is disabled or they may not see messages any more.
	Email string
	Due   bool
	// Language is the one that the sender chose; "" for none.
	Language language.Language
	// Tries counts the earlier ones. Since is when the message ended.
	Tries int
	Since time.Time
}

// WithLetters calls do if e-mails are due, while no other process hands them out. If another does,
// its error wraps [store.ErrLeaseTaken]. Before each e-mail, do must call held, which returns an
// error if this process hung and another took over.
//
// Each message to a group of a sender who wants e-mails gets its row of app.notice_letters in the
// statement that moves the sender's after_seq past the message: once, whatever crashes.
func (ns *Notices) WithLetters(ctx context.Context, do func(held func(context.Context) error) error) error {
	var due bool
	if err := ns.cfg.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM app.notice_letters WHERE state IN ('waiting', 'sending') AND due_at <= $1)
		OR EXISTS (SELECT FROM app.notice_mails m CROSS JOIN LATERAL (
			SELECT FROM record.notices n WHERE n.sender_id = m.staff_id AND n.bulk AND n.ended_seq > m.after_seq LIMIT 1) n)`, ns.cfg.Now()).Scan(&due); err != nil {
		return fmt.Errorf("looking for notices to mail: %w", err)
	}
	if !due {
		return nil
	}
	return store.TryAlone(ctx, ns.cfg.Pool, store.LeaseNotices, func(_ *pgxpool.Conn, held func(context.Context) error) error {
		// What was being handed over when an earlier holder ended may have gone out.
		if _, err := ns.cfg.Pool.Exec(ctx, `UPDATE app.notice_letters SET state = 'unknown', changed_at = $1 WHERE state = 'sending'`, ns.cfg.Now()); err != nil {
			return fmt.Errorf("settling e-mails about notices that were interrupted: %w", err)
		}
		if _, err := ns.cfg.Pool.Exec(ctx, `
			WITH ended AS (
			    SELECT m.staff_id, n.message_id, n.ended_seq
			    FROM app.notice_mails m JOIN record.notices n ON n.sender_id = m.staff_id AND n.bulk AND n.ended_seq > m.after_seq
			    FOR UPDATE OF m),
			queued AS (
			    INSERT INTO app.notice_letters (message_id, staff_id, due_at, changed_at) SELECT message_id, staff_id, $1, $1 FROM ended
			    ON CONFLICT DO NOTHING)
			UPDATE app.notice_mails m SET after_seq = l.last
			FROM (SELECT staff_id, max(ended_seq) AS last FROM ended GROUP BY staff_id) l WHERE l.staff_id = m.staff_id`, ns.cfg.Now()); err != nil {
			return fmt.Errorf("looking for notices to mail: %w", err)
		}
		return do(held)
	})
}

// NextLetter takes the next e-mail that is due; nil if there is none. From here on a crash leaves it
// unknown: no second e-mail goes out.
func (ns *Notices) NextLetter(ctx context.Context) (*Letter, error) {
	var needed []string
	for _, p := range policy.Needs(policy.SeeMessages) {
		needed = append(needed, string(p))
	}
	rows, err := ns.cfg.Pool.Query(ctx, `
		UPDATE app.notice_letters l SET state = 'sending', changed_at = $1
		FROM (SELECT message_id FROM app.notice_letters WHERE state = 'waiting' AND due_at <= $1 ORDER BY due_at, message_id LIMIT 1) next
		WHERE l.message_id = next.message_id
		RETURNING l.message_id, l.staff_id, l.tries, coalesce((SELECT ended_at FROM record.notices n WHERE n.message_id = l.message_id), $1),
		    coalesce((SELECT email FROM app.staff_accounts a WHERE a.staff_id = l.staff_id), ''),
		    coalesce((SELECT language FROM app.staff_accounts a WHERE a.staff_id = l.staff_id), ''),
		    EXISTS (SELECT FROM record.staff s WHERE s.staff_id = l.staff_id AND s.disabled_at IS NULL)
		    AND EXISTS (SELECT FROM record.staff_permissions p WHERE p.staff_id = l.staff_id AND p.permission = ANY($2))`, ns.cfg.Now(), needed)
	if err != nil {
		return nil, fmt.Errorf("taking the next e-mail about a notice: %w", err)
	}
	l, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (l Letter, err error) {
		return l, row.Scan(&l.MessageID, &l.StaffID, &l.Tries, &l.Since, &l.Email, &l.Language, &l.Due)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("taking the next e-mail about a notice: %w", err)
	}
	l.Due = l.Due && l.Email != ""
	return &l, nil
}

// letterLifetime is how long an e-mail about a notice is tried.
const letterLifetime = 3 * 24 * time.Hour

// EndLetter stores how the turn of an e-mail ended.
func (ns *Notices) EndLetter(ctx context.Context, l *Letter, as State) error {
	return ns.endLetter(ctx, l, as, 0)
}

// PutOffLetter stores that an e-mail was not accepted, and is tried again after at least pause. It
// reports whether the e-mail is given up instead, because it is too old.
func (ns *Notices) PutOffLetter(ctx context.Context, l *Letter, pause time.Duration) (givenUp bool, err error) {
	if ns.cfg.Now().Add(pause).After(l.Since.Add(letterLifetime)) {
		return true, ns.endLetter(ctx, l, Failed, 0)
	}
	return false, ns.endLetter(ctx, l, Waiting, pause)
}

func (ns *Notices) endLetter(ctx context.Context, l *Letter, as State, pause time.Duration) error {
	now := ns.cfg.Now()
	_, err := ns.cfg.Pool.Exec(ctx, `UPDATE app.notice_letters SET state = $2, changed_at = $3, due_at = $4, tries = tries + 1
		WHERE message_id = $1 AND state = 'sending'`, l.MessageID, string(as), now, now.Add(pause))
	if err != nil {
		return fmt.Errorf("storing how an e-mail about a notice ended: %w", err)
	}
	return nil
}

// keepLetters is how long it is kept how an e-mail about a notice ended.
const keepLetters = 30 * 24 * time.Hour

// Sweep deletes the states of e-mails that ended long ago.
func (ns *Notices) Sweep(ctx context.Context) error {
	_, err := ns.cfg.Pool.Exec(ctx, `DELETE FROM app.notice_letters WHERE state NOT IN ('waiting', 'sending') AND changed_at < $1`, ns.cfg.Now().Add(-keepLetters))
	if err != nil {
		return fmt.Errorf("deleting old states of e-mails about notices: %w", err)
	}
	return nil
}
