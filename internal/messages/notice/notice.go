// Package notice tells staff that a message that they sent has ended: that all its deliveries are
// recorded and the first attempt at each of its e-mails has an outcome.
//
// The recorder makes the notices ([state.Ending]): one for each message to a group, and one for a
// message to chosen people if not all of them got their e-mail. A notice has no figures of its own:
// it shows those of the message as they are now, which SendGrid's reports and replays still change.
// A replay that ends renews the notice, so that it is unread again.
//
// Which notices were read is not on the record. So is who wants e-mails, which [Notices.WithLetters]
// hands out one by one.
//
// Notices is safe for concurrent use, and several processes may have one.
package notice

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access/policy"
	"postern/internal/messages"
	"postern/internal/problem"
	"postern/internal/text/zone"
)

// ErrNotFound is the error if the staff member has no notice of the message.
var ErrNotFound = problem.NotFound.New("there is no such notice")

// Config has the dependencies of [Notices].
type Config struct {
	Pool     *pgxpool.Pool
	Messages *messages.Reader
	// Now is the clock; nil: [zone.Now].
	Now func() time.Time
}

// Notices are the notices of all staff.
type Notices struct{ cfg Config }

// New makes Notices. It does no I/O.
func New(cfg Config) *Notices {
	if cfg.Now == nil {
		cfg.Now = zone.Now
	}
	return &Notices{cfg}
}

// A Notice says that a message has ended.
type Notice struct {
	// Message is the message as it is now.
	Message messages.Message
	// Seq is the sequence of the event that ended the message, or that ended the last replay of its
	// e-mails. Notices are in its order.
	Seq     uint64
	At      time.Time // of that event
	EndedAt time.Time // when the message ended
	// Replayed says that a replay has renewed the notice.
	Replayed bool
	Read     bool
	// Failures are the reasons for which e-mails failed or are unknown, the commonest first. They
	// are not counted if there are more than MostCounted such e-mails: the page of the message
	// counts them.
	Failures []messages.Failure
}

// MostCounted is the most failed and unknown e-mails of a message whose reasons its notice counts,
// so that a list of notices stays fast.
const MostCounted = 20_000

// Query selects notices.
type Query struct {
	Unread bool   // only those that were not read
	Before uint64 // only those with a lower Seq; 0: all
	Limit  int
}

// unread is the SQL condition that the notice n was not read by its reader, $1.
const unread = `n.seq > coalesce((SELECT read_until FROM app.notice_readers WHERE staff_id = $1), 0) AND NOT EXISTS (SELECT FROM app.read_notices d WHERE d.message_id = n.message_id AND d.seq >= n.seq)`

// ofReader are the notices of $1.
const ofReader = ` FROM record.notices n WHERE n.sender_id = $1`

// List returns the notices of a staff member that a query selects, the newest first.
func (ns *Notices) List(ctx context.Context, reader policy.Subject, q Query) ([]Notice, error) {
	if q.Before == 0 || q.Before > math.MaxInt64 {
		q.Before = math.MaxInt64
	}
	sql := `SELECT n.message_id, n.seq, n.at, n.ended_at, n.seq > n.ended_seq, NOT (` + unread + `)` + ofReader + ` AND n.seq < $2`
	if q.Unread {
		sql += ` AND ` + unread
	}
	return ns.read(ctx, reader, sql+` ORDER BY n.seq DESC LIMIT $3`, reader.ID, int64(q.Before), q.Limit) // #nosec G115 -- a sequence
}

// Of returns the notice of a message, or [ErrNotFound] if the reader has none.
func (ns *Notices) Of(ctx context.Context, reader policy.Subject, message uuid.UUID) (Notice, error) {
	found, err := ns.read(ctx, reader, `SELECT n.message_id, n.seq, n.at, n.ended_at, n.seq > n.ended_seq, NOT (`+unread+`)`+ofReader+` AND n.message_id = $2`, reader.ID, message)
	switch {
	case err != nil:
		return Notice{}, err
	case len(found) == 0:
		return Notice{}, ErrNotFound
	}
	return found[0], nil
}

func (ns *Notices) read(ctx context.Context, reader policy.Subject, sql string, args ...any) ([]Notice, error) {
	rows, err := ns.cfg.Pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("reading notices: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (n Notice, err error) {
		err = row.Scan(&n.Message.ID, &n.Seq, &n.At, &n.EndedAt, &n.Replayed, &n.Read)
		n.At, n.EndedAt = n.At.UTC(), n.EndedAt.UTC()
		return n, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading notices: %w", err)
	}
	ids := make([]uuid.UUID, len(found))
	for i, n := range found {
		ids[i] = n.Message.ID
	}
	all, err := ns.cfg.Messages.ByID(ctx, reader.ID, ids)
	if err != nil {
		return nil, err
	}
	for i := range found {
		n := &found[i]
		n.Message = all[n.Message.ID]
		if bad := n.Message.Progress.AlertFailed + n.Message.Progress.AlertUnknown; bad > 0 && bad <= MostCounted {
			if n.Failures, err = ns.cfg.Messages.Failures(ctx, n.Message.ID); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// Unread counts the notices that a staff member has not read, up to most. Every page asks for it: it
// reads an index from the first unread notice on.
func (ns *Notices) Unread(ctx context.Context, reader policy.Subject, most int) (n int, err error) {
	err = ns.cfg.Pool.QueryRow(ctx, `SELECT count(*) FROM (SELECT`+ofReader+` AND `+unread+` LIMIT $2) u`, reader.ID, most).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting unread notices: %w", err)
	}
	return n, nil
}

// MarkRead marks the notice of a message as read, as it was at seq: if a replay has renewed it
// since, it stays unread. It fails with [ErrNotFound].
func (ns *Notices) MarkRead(ctx context.Context, reader policy.Subject, message uuid.UUID, seq uint64) error {
	err := pgx.BeginFunc(ctx, ns.cfg.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO app.read_notices (message_id, staff_id, seq)
			SELECT message_id, sender_id, least($3, seq) FROM record.notices WHERE message_id = $2 AND sender_id = $1
			ON CONFLICT (message_id) DO UPDATE SET seq = greatest(read_notices.seq, excluded.seq)`, reader.ID, message, int64(min(seq, math.MaxInt64))) // #nosec G115 -- bounded
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		return advance(ctx, tx, reader.ID, 0)
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("marking a notice as read: %w", err)
	}
	return err
}

// MarkAllRead marks all notices up to seq as read.
func (ns *Notices) MarkAllRead(ctx context.Context, reader policy.Subject, seq uint64) error {
	err := pgx.BeginFunc(ctx, ns.cfg.Pool, func(tx pgx.Tx) error {
		return advance(ctx, tx, reader.ID, seq)
	})
	if err != nil {
		return fmt.Errorf("marking notices as read: %w", err)
	}
	return nil
}

// advance moves read_until to seq, and on over the notices that were read one by one. It never
// passes the newest notice, because notices to come have higher sequences.
func advance(ctx context.Context, tx pgx.Tx, reader string, seq uint64) error {
	const newest = `(SELECT coalesce(max(seq), 0) FROM record.notices WHERE sender_id = $1)`
	if _, err := tx.Exec(ctx, `INSERT INTO app.notice_readers (staff_id, read_until) VALUES ($1, least($2, `+newest+`))
		ON CONFLICT (staff_id) DO UPDATE SET read_until = greatest(notice_readers.read_until, excluded.read_until)`, reader, int64(min(seq, math.MaxInt64))); err != nil { // #nosec G115 -- bounded
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE app.notice_readers SET read_until = greatest(read_until,
		coalesce((SELECT n.seq - 1`+ofReader+` AND `+unread+` ORDER BY n.seq LIMIT 1), `+newest+`)) WHERE staff_id = $1`, reader); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM app.read_notices d USING app.notice_readers r WHERE r.staff_id = $1 AND d.staff_id = $1 AND d.seq <= r.read_until`, reader)
	return err
}
