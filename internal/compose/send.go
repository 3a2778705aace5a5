package compose

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"postern/internal/access/policy"
	"postern/internal/content"
	"postern/internal/content/message"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/recorder/state"
)

// Answer is the result of a send. Apart from Seq it is the same at every try.
type Answer struct {
	ID        uuid.UUID
	Status    state.Message // at the time of sending: scheduled or sending
	ReleaseAt time.Time
	// Seq is the sequence of message.sent, to wait for; 0 if an earlier try published it.
	Seq uint64
}

// Send records a message: step 2. Without an error, the message is sent. With
// [facts.ErrUnavailable], which is joined with [ErrNotSent], it may have been sent: call
// Send again with the same key and request. After the other errors, those of
// [policy.Allow], [*Invalid], [*AudienceChanged] and [ErrKeyReused], nothing is sent or
// stored.
func (c *Composer) Send(ctx context.Context, staff policy.Subject, key string, r Request) (Answer, error) {
	answer, err := c.send(ctx, staff, key, r)
	if errors.Is(err, facts.ErrUnavailable) {
		err = fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	return answer, err
}

func (c *Composer) send(ctx context.Context, staff policy.Subject, key string, r Request) (Answer, error) {
	if err := policy.Allow(staff, policy.SendMessage); err != nil {
		return Answer{}, err
	}
	r = r.normal()
	var f faults
	if checkKey(&f, key); len(f) > 0 {
		r.check(&f, c.now())
		return Answer{}, f.err()
	}
	cl, err := c.find(ctx, staff, key)
	if err != nil {
		return Answer{}, err
	}
	if cl == nil {
		h, about, err := c.prepare(ctx, staff, r)
		if err != nil {
			return Answer{}, err
		}
		if cl, err = c.claim(ctx, staff, key, r, h, about); err != nil {
			return Answer{}, err
		}
	}
	return c.carryOut(ctx, staff, key, cl, r)
}

// Check returns the error that [Composer.Send] would return for the request now. It sends
// and stores nothing.
func (c *Composer) Check(ctx context.Context, staff policy.Subject, r Request) error {
	if err := policy.Allow(staff, policy.SendMessage); err != nil {
		return err
	}
	_, _, err := c.prepare(ctx, staff, r.normal())
	return err
}

// Sent returns the message that was sent with a sender's key, or [message.ErrNotFound].
func (c *Composer) Sent(ctx context.Context, staff policy.Subject, key string) (uuid.UUID, error) {
	var f faults
	if checkKey(&f, key); len(f) > 0 {
		return uuid.Nil, message.ErrNotFound
	}
	cl, err := c.find(ctx, staff, key)
	switch {
	case err != nil:
		return uuid.Nil, err
	case cl == nil || cl.status != statusPublished:
		return uuid.Nil, message.ErrNotFound
	}
	return cl.id, nil
}

// prepare checks a new message, makes its header, and says whom it concerns.
func (c *Composer) prepare(ctx context.Context, staff policy.Subject, r Request) (h message.Header, about map[string][]string, err error) {
	if err := c.mustBeRecordable(ctx, r); err != nil {
		return h, nil, err
	}
	if err := mayChoose(staff, r.Recipients); err != nil {
		return h, nil, err
	}
	var f faults
	r.check(&f, c.now())
	if err := c.checkBcc(ctx, &f, r.StaffBcc); err != nil {
		return h, nil, err
	}
	attachments, err := c.attachments(ctx, &f, staff, r.AttachmentIDs)
	if err != nil {
		return h, nil, err
	}
	var confirmed *events.Confirmed
	if !f.at("body.recipients") {
		confirmed, about, err = c.checkAudience(ctx, r)
		var also *Invalid
		if errors.As(err, &also) {
			f, err = append(f, also.Faults...), nil
		}
	}
	// Faults of the request come before a changed audience.
	if err := errors.Join(f.err(), err); err != nil {
		return h, nil, err
	}
	return message.Header{Subject: r.Subject, Attachments: attachments, StaffBcc: r.StaffBcc, Confirmed: confirmed}, about, nil
}

// at reports whether a fault was found at the location, or below it.
func (f faults) at(location string) bool {
	for _, one := range f {
		if strings.HasPrefix(one.Location, location) {
			return true
		}
	}
	return false
}

// carryOut does the remaining steps of a claim.
func (c *Composer) carryOut(ctx context.Context, staff policy.Subject, key string, cl *claim, r Request) (Answer, error) {
	secret, h, err := c.open(ctx, cl, r)
	if err != nil {
		return Answer{}, err
	}
	fact := cl.fact(staff, r, h)
	answer := Answer{ID: cl.id, Status: state.Initial(fact.Hold), ReleaseAt: cl.releaseAt} // step 3: the recorder releases it
	if cl.status == statusPublished {
		return answer, nil
	}
	if !cl.fresh { // otherwise prepare has checked it
		if err := c.mustBeRecordable(ctx, r); err != nil {
			return Answer{}, err
		}
	}
	if err := c.store(ctx, cl, secret, r.Body); err != nil {
		return Answer{}, err
	}
	// The commit point of step 2. If we crash before the acknowledgement, the message is
	// sent only if the client retries. If we crash later, the message is sent; a retry
	// publishes the same event, which the record counts once.
	if answer.Seq, err = c.cfg.Facts.Record(ctx, staff.Actor(), cl.sentAt, fact); err != nil {
		return Answer{}, err
	}
	// If we crash before this, a retry publishes the event again, without effect.
	_, err = c.pool.Exec(context.WithoutCancel(ctx), `
		WITH copied AS (UPDATE app.message_content SET copied = true WHERE message_id = $4)
		UPDATE app.sends SET status = $3, about = NULL WHERE staff_id = $1 AND idempotency_key = $2`,
		staff.ID, key, statusPublished, cl.id)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: marking message %s as sent: %w", facts.ErrUnavailable, cl.id, err)
	}
	return answer, nil
}

// store writes the body and a copy of the keys to the content store. An earlier try wrote
// the same. Sent messages can be read from there even if Postgres loses its rows. A crash
// after it leaves a body that no event names.
func (c *Composer) store(ctx context.Context, cl *claim, secret content.Key, body string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := c.cfg.Content.Create(ctx, content.BodyOf(cl.id), secret, strings.NewReader(body))
		if errors.Is(err, content.ErrExists) {
			return nil
		}
		return err
	})
	group.Go(func() error {
		_, err := c.cfg.Content.StoreKeys(ctx, content.KeysOf(cl.id), cl.id, cl.keys)
		return err
	})
	return group.Wait()
}
