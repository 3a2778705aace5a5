package compose

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/access/policy"
	"postern/internal/content"
	"postern/internal/content/message"
	"postern/internal/events"
)

const (
	statusClaimed   = "claimed"
	statusPublished = "published"
)

// A claim ties an idempotency key to one message: a retry with the key sends the same
// message.
type claim struct {
	id                uuid.UUID
	requestDigest     []byte
	status            string
	sentAt, releaseAt time.Time
	keys              content.Keys        // empty if the content was erased or the row is lost
	about             map[string][]string // as [events.Selection]; nil if it is published, or of an earlier version
	erased            bool                // recorded as erased
	fresh             bool                // made by this request, not by an earlier try
}

// find returns the claim of a sender's key, or nil.
func (c *Composer) find(ctx context.Context, staff policy.Subject, key string) (*claim, error) {
	var cl claim
	err := c.pool.QueryRow(ctx, `
		SELECT s.message_id, s.request_digest, s.status, s.sent_at, s.release_at, s.about, m.wrapped_key, m.sealed,
		       EXISTS (SELECT FROM record.erasures e WHERE e.message_id = s.message_id AND e.status = 'erased')
		FROM app.sends s LEFT JOIN app.message_content m USING (message_id)
		WHERE s.staff_id = $1 AND s.idempotency_key = $2`, staff.ID, key).
		Scan(&cl.id, &cl.requestDigest, &cl.status, &cl.sentAt, &cl.releaseAt, &cl.about, &cl.keys.WrappedKey, &cl.keys.Sealed, &cl.erased)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for an earlier try: %w", err)
	}
	cl.sentAt, cl.releaseAt = cl.sentAt.UTC(), cl.releaseAt.UTC()
	return &cl, nil
}

// claim makes the claim. about has the patients whom the message concerns, by chosen portal user. If a concurrent request with the same key made it first, it
// returns that one.
func (c *Composer) claim(ctx context.Context, staff policy.Subject, key string, r Request, h message.Header, about map[string][]string) (*claim, error) {
	cl := claim{status: statusClaimed, sentAt: c.now(), about: about}
	var err error
	if cl.id, err = uuid.NewV7(); err != nil {
		return nil, fmt.Errorf("making a message id: %w", err)
	}
	_, cl.releaseAt = r.hold(cl.sentAt)
	h.Salt = make([]byte, 16)
	_, _ = rand.Read(h.Salt) // never fails (crypto/rand)
	cl.requestDigest = r.digest(h.Salt)
	secret, wrapped, err := c.cfg.Content.NewKey(cl.id)
	if err != nil {
		return nil, err
	}
	if cl.keys.Sealed, err = h.Seal(secret); err != nil {
		return nil, err
	}
	cl.keys.WrappedKey = wrapped
	// Step 2 begins. A crash before this commit leaves nothing. A crash after it leaves
	// a claim that a retry finds; the message is not sent.
	err = pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		cl.fresh, err = cl.insert(ctx, tx, staff, key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claiming the send: %w", err)
	}
	if cl.fresh {
		return &cl, nil
	}
	return c.find(ctx, staff, key)
}

// insert writes the two rows of the claim with one statement. mine is false if another request
// with the same key has made it.
func (cl *claim) insert(ctx context.Context, tx pgx.Tx, staff policy.Subject, key string) (mine bool, err error) {
	// This waits for a concurrent insert of the same key.
	tag, err := tx.Exec(ctx, `
		WITH mine AS (
		    INSERT INTO app.sends (staff_id, idempotency_key, request_digest, message_id, status, sent_at, release_at, about)
		    VALUES ($1, $2, $3, $4, $5, $6, $7, $10) ON CONFLICT (staff_id, idempotency_key) DO NOTHING RETURNING message_id, sent_at)
		INSERT INTO app.message_content (message_id, wrapped_key, sealed, created_at) SELECT message_id, $8, $9, sent_at FROM mine`,
		staff.ID, key, cl.requestDigest, cl.id, cl.status, cl.sentAt, cl.releaseAt, cl.keys.WrappedKey, cl.keys.Sealed, cl.about)
	return tag.RowsAffected() == 1, err
}

// open returns the key and the header of the claim. It fails with [ErrKeyReused] if the
// claim belongs to another request, or if its content was erased.
func (c *Composer) open(ctx context.Context, cl *claim, r Request) (content.Key, message.Header, error) {
	if cl.erased {
		return content.Key{}, message.Header{}, ErrKeyReused
	}
	row := &cl.keys
	if cl.keys.WrappedKey == nil {
		row = nil
	}
	key, h, err := c.cfg.Reader.Unlock(ctx, cl.id, row)
	if err != nil {
		return content.Key{}, message.Header{}, err
	}
	if subtle.ConstantTimeCompare(r.digest(h.Salt), cl.requestDigest) != 1 {
		return content.Key{}, message.Header{}, ErrKeyReused
	}
	return key, h, nil
}

// digest identifies a normal request. It is salted and the salt is sealed, so that the
// digest discloses nothing after the content is erased.
func (r Request) digest(salt []byte) []byte {
	canonical := struct {
		Request
		SendAt int64
	}{Request: r}
	if r.SendAt != nil {
		canonical.SendAt = r.SendAt.UnixMicro()
	}
	plain, err := json.Marshal(canonical)
	if err != nil {
		panic(err) // strings and numbers
	}
	sum := sha256.New()
	sum.Write(salt)
	sum.Write(plain)
	return sum.Sum(nil)
}

// fact returns the event of the message, the same at every try.
func (cl *claim) fact(staff policy.Subject, r Request, h message.Header) events.MessageSent {
	hold, _ := r.hold(cl.sentAt)
	groups := make([]string, len(r.Recipients.Groups))
	for i, g := range r.Recipients.Groups {
		groups[i] = string(g)
	}
	return events.MessageSent{
		MessageID:     cl.id,
		SenderID:      staff.ID,
		SubjectDigest: h.Digest(r.Subject),
		BodyDigest:    h.Digest(r.Body),
		Attachments:   h.Facts(),
		Recipients:    events.Selection{PortalUserIDs: r.Recipients.PortalUserIDs, Groups: groups, About: cl.about},
		StaffBcc:      r.StaffBcc,
		Hold:          hold,
		ReleaseAt:     cl.releaseAt,
		Confirmed:     h.Confirmed,
	}
}
