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

// Answer is what a sender gets to hear, at each try the same.
type Answer struct {
	ID        uuid.UUID
	Status    state.Message // scheduled or sending: what it was when it was sent
	ReleaseAt time.Time
	// Seq is its place on the record, for [Config.Wait]; 0 where an earlier try
	// published it.
	Seq uint64
}

// Send puts a message on the record: step 2. It is sent once this has returned
// without an error, and perhaps if it returns [facts.ErrUnavailable], which is [ErrNotSent]
// too: the same key and request, sent again, settle it. Other errors are those of [policy.Allow],
// [*Invalid], [*AudienceChanged] and [ErrKeyReused], with which nothing is sent
// or kept.
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
		h, err := c.prepare(ctx, staff, r)
		if err != nil {
			return Answer{}, err
		}
		if cl, err = c.claim(ctx, staff, key, r, h); err != nil {
			return Answer{}, err
		}
	}
	return c.carryOut(ctx, staff, key, cl, r)
}

// Check says what would be wrong with sending a request now: its errors are those
// of [Composer.Send]. Nothing is sent or kept.
func (c *Composer) Check(ctx context.Context, staff policy.Subject, r Request) error {
	if err := policy.Allow(staff, policy.SendMessage); err != nil {
		return err
	}
	_, err := c.prepare(ctx, staff, r.normal())
	return err
}

// Sent gives the message that a sender's key has sent, or [message.ErrNotFound].
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

// prepare checks all that can be wrong with a new message, and makes its header.
func (c *Composer) prepare(ctx context.Context, staff policy.Subject, r Request) (message.Header, error) {
	if err := c.mustBeRecordable(ctx); err != nil {
		return message.Header{}, err
	}
	if err := mayChoose(staff, r.Recipients); err != nil {
		return message.Header{}, err
	}
	var f faults
	r.check(&f, c.now())
	if err := c.checkBcc(ctx, &f, r.StaffBcc); err != nil {
		return message.Header{}, err
	}
	attachments, err := c.attachments(ctx, &f, staff, r.AttachmentIDs)
	if err != nil {
		return message.Header{}, err
	}
	var confirmed *events.Confirmed
	if !f.at("body.recipients") {
		confirmed, err = c.checkAudience(ctx, r)
		var also *Invalid
		if errors.As(err, &also) {
			f, err = append(f, also.Faults...), nil
		}
	}
	// What is wrong with the request comes before an audience that has changed.
	if err := errors.Join(f.err(), err); err != nil {
		return message.Header{}, err
	}
	return message.Header{Subject: r.Subject, Attachments: attachments, StaffBcc: r.StaffBcc, Confirmed: confirmed}, nil
}

// at says whether a fault was found at the location, or below it.
func (f faults) at(location string) bool {
	for _, one := range f {
		if strings.HasPrefix(one.Location, location) {
			return true
		}
	}
	return false
}

// carryOut does what is still to be done for a claim.
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
	if err := c.mustBeRecordable(ctx); err != nil {
		return Answer{}, err
	}
	if err := c.store(ctx, cl, secret, r.Body); err != nil {
		return Answer{}, err
	}
	// The commit point of step 2. A crash before the acknowledgement: the client
	// repeats and it is sent then, or never. After it: it was sent, and a repeat
	// gives this event again, which the record counts once.
	if answer.Seq, err = c.cfg.Facts.Record(ctx, staff.Actor(), cl.sentAt, fact); err != nil {
		return Answer{}, err
	}
	// A crash before this leaves a claim that a retry publishes again, in vain.
	_, err = c.pool.Exec(context.WithoutCancel(ctx), `
		WITH copied AS (UPDATE app.message_content SET copied = true WHERE message_id = $4)
		UPDATE app.sends SET status = $3 WHERE staff_id = $1 AND idempotency_key = $2`,
		staff.ID, key, statusPublished, cl.id)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: marking message %s as sent: %w", facts.ErrUnavailable, cl.id, err)
	}
	return answer, nil
}

// store puts the body and a copy of the keys into the content store, each once: an
// earlier try's are the same. What was sent can be read from there even where Postgres
// loses its rows. A crash after it leaves a body that no event names.
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
		_, err := c.cfg.Content.KeepKeys(ctx, content.KeysOf(cl.id), cl.id, cl.keys)
		return err
	})
	return group.Wait()
}
