package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access/policy"
	"postern/internal/access/twopeople"
	"postern/internal/compose"
	"postern/internal/content"
	"postern/internal/content/message"
	"postern/internal/events"
	"postern/internal/problem"
	"postern/internal/store"
	"postern/internal/text/language"
)

var (
	// ErrNotFound is the error if the erasure does not exist.
	ErrNotFound = problem.NotFound.New("there is no such erasure")
	// ErrGoingOut is the error if the message has not been sent out completely.
	ErrGoingOut = problem.MessageGoingOut.New("the message has not gone out yet: wait until it has, or cancel it")
	// ErrAsked is the error if an erasure of the message was requested before.
	ErrAsked = problem.ErasureRequested.New("the erasure of this message was asked for before")
	// ErrOwn is the error if the requester approves their own request.
	ErrOwn = problem.OwnErasure.Says(language.NewError(language.Message{ID: "You requested this erasure: another staff member with the permission {permission} has to approve it.",
		Args: []any{"permission", policy.EraseMessageContent.Name()}}))
	// ErrTooNew is the error if the approver got the permission after the request.
	ErrTooNew = problem.NewAdministrator.Says(language.NewError(language.Message{ID: "You got the permission {permission} after this erasure was requested: a staff member who had it before has to approve it.",
		Args: []any{"permission", policy.EraseMessageContent.Name()}}))
	// ErrKeysLeft is the error if an erasure is recorded but keys still exist. No reader uses
	// them, and [Retention.Sweep] destroys them.
	ErrKeysLeft = problem.ErasureUnfinished.New("the erasure is on the record and no one can read the content any more, " +
		"but not all of its keys could be destroyed yet. That is tried again every few minutes: you need do nothing")
	// ErrSettled is the error if another staff member settled the request before.
	ErrSettled = problem.ErasureSettled.New("this erasure was settled before")
)

// Request records an actor's request to destroy the content of a message. It destroys nothing.
func (r *Retention) Request(ctx context.Context, actor string, message uuid.UUID, reason string) (Erasure, error) {
	if err := compose.CheckReason(reason); err != nil {
		return Erasure{}, err
	}
	if err := r.mayBeErased(ctx, message); err != nil {
		return Erasure{}, err
	}
	asked := events.ErasureRequested{ErasureID: uuid.New(), MessageID: message, Reason: reason}
	if err := r.record(ctx, actor, asked); err != nil {
		return Erasure{}, err
	}
	stands, err := r.Of(ctx, message)
	if err == nil && stands.ID != asked.ErasureID { // of two concurrent requests, one counts
		err = ErrAsked
	}
	return stands, err
}

// mayBeErased refuses a message that does not exist, whose fan-out still needs its keys, or
// whose erasure was requested before.
func (r *Retention) mayBeErased(ctx context.Context, id uuid.UUID) error {
	var over bool
	err := r.cfg.Pool.QueryRow(ctx, `SELECT status = 'cancelled' OR completed_at IS NOT NULL FROM record.messages WHERE message_id = $1`, id).Scan(&over)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return message.ErrNotFound
	case err != nil:
		return fmt.Errorf("reading the status of message %s: %w", id, err)
	case !over:
		return ErrGoingOut
	}
	if _, err = r.Of(ctx, id); errors.Is(err, ErrNotFound) {
		return nil
	}
	if err == nil {
		err = ErrAsked
	}
	return err
}

// Approve approves an erasure and carries it out. The approver must not be the requester,
// and must have had the permission to erase before the request: giving the permission to a
// second account after the request does not help. Both must count as two people, today: else
// it fails with a [twopeople.NotTwo], and the request stands.
func (r *Retention) Approve(ctx context.Context, staff policy.Subject, id uuid.UUID) (Erasure, error) {
	if err := policy.Allow(staff, policy.ApproveErasure); err != nil {
		return Erasure{}, err
	}
	e, err := r.Find(ctx, id)
	if err != nil {
		return Erasure{}, err
	}
	years, _, err := r.Years(ctx)
	if err != nil {
		return e, err
	}
	actor := staff.Actor()
	err = store.Alone(ctx, r.cfg.Pool, store.LeasePermissions, func(conn *pgxpool.Conn, held func(context.Context) error) error {
		if err := r.mayApprove(ctx, conn, staff, e); err != nil {
			return err
		}
		if err := held(ctx); err != nil {
			return err
		}
		return r.record(ctx, actor, events.ContentErased{ErasureID: e.ID, MessageID: e.MessageID, ApprovedBy: actor,
			Early: r.cfg.Facts.Now().Before(e.KeptUntil(years))})
	})
	if err != nil {
		return e, err
	}
	if e, err = r.Find(ctx, id); err != nil {
		return e, err
	}
	if e.Status != "erased" || *e.SettledBy != actor {
		return e, ErrSettled
	}
	// The erasure counts from here. After a crash before this line, Sweep destroys the keys.
	return e, r.destroy(ctx, e.MessageID)
}

func (r *Retention) mayApprove(ctx context.Context, conn *pgxpool.Conn, staff policy.Subject, e Erasure) error {
	switch {
	case e.RequestedBy == staff.Actor():
		return ErrOwn
	case e.Status != "requested":
		return ErrSettled
	}
	var since time.Time
	err := conn.QueryRow(ctx, `SELECT granted_at FROM record.staff_permissions WHERE staff_id = $1 AND permission = $2`,
		staff.ID, string(policy.EraseMessageContent)).Scan(&since)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("reading when the approver got the permission: %w", err)
	}
	if err != nil || since.After(e.RequestedAt) {
		return ErrTooNew
	}
	return r.cfg.TwoPeople.Check(ctx, conn, r.cfg.Facts.Now(), twopeople.Act{Permission: policy.EraseMessageContent, First: e.RequestedBy, Second: staff.Actor()})
}

// KeptUntil returns the time until which the content is kept, for a retention in years.
func (e Erasure) KeptUntil(years int) time.Time { return e.SentAt.AddDate(years, 0, 0) }

// Withdraw withdraws or rejects a request.
func (r *Retention) Withdraw(ctx context.Context, actor string, id uuid.UUID) (Erasure, error) {
	e, err := r.Find(ctx, id)
	if err != nil {
		return e, err
	}
	if e.Status != "requested" {
		return e, ErrSettled
	}
	if err := r.record(ctx, actor, events.ErasureWithdrawn{ErasureID: e.ID, MessageID: e.MessageID}); err != nil {
		return e, err
	}
	if e, err = r.Find(ctx, id); err == nil && e.Status != "withdrawn" {
		err = ErrSettled
	}
	return e, err
}

// destroy destroys all keys of a message's content, in Postgres and in the content store:
// the message's key, and with it the keys of its documents in the sealed header; the keys of
// its uploads and of its manifest; and drafts that are copies of it, with the copies of its
// documents. The message's key is destroyed first, because making a copy locks it. The body
// and the manifest are deleted too: a failover of Postgres can restore a row, and until the
// recorder has projected the erasure again, that row looks valid.
func (r *Retention) destroy(ctx context.Context, message uuid.UUID) error {
	err := r.destroyRows(ctx, message)
	for _, name := range []content.Name{content.KeysOf(message), content.ManifestKeysOf(message), content.BodyOf(message), content.ManifestOf(message)} {
		err = errors.Join(err, r.cfg.Content.Delete(ctx, name))
	}
	if err != nil {
		return fmt.Errorf("%w: destroying the keys of message %s: %w", ErrKeysLeft, message, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.destroyed == nil {
		r.destroyed = map[uuid.UUID]bool{}
	}
	r.destroyed[message] = true
	return nil
}

func (r *Retention) destroyRows(ctx context.Context, message uuid.UUID) error {
	return pgx.BeginFunc(ctx, r.cfg.Pool, func(tx pgx.Tx) error {
		for _, sql := range []string{
			`DELETE FROM app.message_content WHERE message_id = $1`,
			`DELETE FROM app.attachments WHERE copy_of = $1`,
			`DELETE FROM app.drafts WHERE copy_of = $1`,
			`DELETE FROM app.attachments WHERE attachment_id IN (SELECT (a->>'attachment_id')::uuid
				FROM record.messages, jsonb_array_elements(attachments) a WHERE message_id = $1)`,
			`DELETE FROM app.manifest_keys WHERE message_id = $1`,
		} {
			if _, err := tx.Exec(ctx, sql, message); err != nil {
				return err
			}
		}
		return nil
	})
}

// Sweep destroys the remaining keys of all recorded erasures: keys that a crash left, or that
// a failover or a backup restored. Each process handles each erasure once, and again if it
// has rows. Call it at the start of a process and every few minutes.
func (r *Retention) Sweep(ctx context.Context) error {
	rows, err := r.cfg.Pool.Query(ctx, `SELECT e.message_id,
		EXISTS (SELECT FROM app.message_content c WHERE c.message_id = e.message_id)
		OR EXISTS (SELECT FROM app.manifest_keys k WHERE k.message_id = e.message_id)
		OR EXISTS (SELECT FROM app.drafts d WHERE d.copy_of = e.message_id)
		OR EXISTS (SELECT FROM app.attachments a WHERE a.copy_of = e.message_id)
		FROM record.erasures e WHERE e.status = 'erased'`)
	if err != nil {
		return fmt.Errorf("looking for keys that should be destroyed: %w", err)
	}
	var message uuid.UUID
	var left []uuid.UUID
	var there bool
	_, err = pgx.ForEachRow(rows, []any{&message, &there}, func() error {
		if there || !r.isDestroyed(message) {
			left = append(left, message)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking for keys that should be destroyed: %w", err)
	}
	for _, message := range left {
		if failed := r.destroy(ctx, message); failed != nil {
			err = errors.Join(err, failed) // continue with the others
		}
		if ctx.Err() != nil {
			break
		}
	}
	return err
}

func (r *Retention) isDestroyed(message uuid.UUID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.destroyed[message]
}
