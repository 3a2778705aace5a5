package notify

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/events"
)

// A chunkRef names the chunk whose alerts are to go out.
type chunkRef struct {
	message       uuid.UUID
	chunk, chunks int
	seq           uint64 // of its deliveries.created
}

// recipient is one delivery of a chunk, in the order of portal user numbers: its
// place in that order is its position.
type recipient struct {
	no     int32
	id     string
	email  string
	active bool
}

// claim is a row of app.attempts: a request made, or about to be.
type claim struct {
	request    int
	id         uuid.UUID
	claimedBy  uuid.UUID
	positions  []int
	answer     string // "" until it is known
	sendgridID string
	refusals   []refusal
}

// refusal is a recipient that SendGrid would not take.
type refusal struct {
	Position int    `json:"position"`
	Reason   string `json:"reason"`
}

// The answers of app.attempts.
const (
	answerAccepted = "accepted" // SendGrid has it
	answerRefused  = "refused"  // it has not, because of refusals
	answerAgain    = "again"    // it has not, for a passing reason
	answerUnknown  = "unknown"  // it may have
)

// work is all that is known of a chunk when a handler takes it up.
type work struct {
	chunkRef
	status     string // of the message
	state      events.AlertState
	recipients []recipient
	claims     []claim
}

// firstAttempt is the number of the attempt that a blast makes by itself.
const firstAttempt = 1

var errNoChunk = errors.New("the chunk is not on the record")

func load(ctx context.Context, pool *pgxpool.Pool, ref chunkRef) (*work, error) {
	w := &work{chunkRef: ref}
	var first, last int32
	q := &pgx.Batch{}
	q.Queue(`
		SELECT m.status, c.alert_state, c.first_no, c.last_no FROM record.chunks c JOIN record.messages m USING (message_id)
		WHERE c.message_id = $1 AND c.chunk = $2`, ref.message, ref.chunk).
		QueryRow(func(row pgx.Row) error { return row.Scan(&w.status, &w.state, &first, &last) })
	q.Queue(`
		SELECT request, request_id, claimed_by, recipients, coalesce(answer, ''), sendgrid_id, coalesce(refusals, '[]')
		FROM app.attempts WHERE message_id = $1 AND chunk = $2 AND attempt = $3 ORDER BY request`,
		ref.message, ref.chunk, firstAttempt).Query(func(rows pgx.Rows) (err error) {
		w.claims, err = pgx.CollectRows(rows, scanClaim)
		return err
	})
	err := pool.SendBatch(ctx, q).Close()
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoChunk
	}
	if err != nil {
		return nil, fmt.Errorf("loading the chunk: %w", err)
	}
	// The chunk's deliveries are one range of the primary key, and its portal
	// users one of theirs. The bounds are parameters and stand on both sides:
	// joined from the chunk's row, or on one side alone, a million portal users
	// are read for every chunk as soon as Postgres has statistics.
	rows, err := pool.Query(ctx, `
		SELECT d.portal_user_no, u.portal_user_id, u.email, u.active
		FROM record.deliveries d JOIN app.portal_users u USING (portal_user_no)
		WHERE d.message_id = $1 AND d.portal_user_no BETWEEN $2 AND $3 AND u.portal_user_no BETWEEN $2 AND $3
		ORDER BY d.portal_user_no`, ref.message, first, last)
	if err != nil {
		return nil, fmt.Errorf("loading the recipients: %w", err)
	}
	if w.recipients, err = pgx.CollectRows(rows, scanRecipient); err != nil {
		return nil, fmt.Errorf("loading the recipients: %w", err)
	}
	return w, nil
}

func scanRecipient(row pgx.CollectableRow) (recipient, error) {
	var r recipient
	err := row.Scan(&r.no, &r.id, &r.email, &r.active)
	return r, err
}

func scanClaim(row pgx.CollectableRow) (claim, error) {
	var c claim
	var bits []byte
	err := row.Scan(&c.request, &c.id, &c.claimedBy, &bits, &c.answer, &c.sendgridID, &c.refusals)
	c.positions = positions(bits)
	return c, err
}

// insert commits a claim. It gives false where somebody else holds that number:
// then this worker must not call.
func (c *claim) insert(ctx context.Context, pool *pgxpool.Pool, ref chunkRef) (bool, error) {
	tag, err := pool.Exec(ctx, `
		INSERT INTO app.attempts (message_id, chunk, attempt, request, request_id, claimed_by, recipients)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
		ref.message, ref.chunk, firstAttempt, c.request, c.id, c.claimedBy, bitmap(c.positions))
	if err != nil {
		return false, fmt.Errorf("claiming request %d: %w", c.request, err)
	}
	return tag.RowsAffected() == 1, nil
}

// settle writes what became of a claim. An answer may take the place of unknown,
// never of another answer.
func (c *claim) settle(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, `
		UPDATE app.attempts SET answer = $2, sendgrid_id = $3, refusals = $4, answered_at = now()
		WHERE request_id = $1 AND (answer IS NULL OR answer = 'unknown')`,
		c.id, c.answer, c.sendgridID, c.refusals)
	if err != nil {
		return fmt.Errorf("writing the answer of request %d: %w", c.request, err)
	}
	return nil
}

// bitmap and positions turn places in a chunk into bits and back.
func bitmap(positions []int) []byte {
	var bits []byte
	for _, p := range positions {
		for len(bits) <= p/8 {
			bits = append(bits, 0)
		}
		bits[p/8] |= 1 << (p % 8)
	}
	return bits
}

func positions(bits []byte) []int {
	var places []int
	for i := range 8 * len(bits) {
		if bits[i/8]&(1<<(i%8)) != 0 {
			places = append(places, i)
		}
	}
	return places
}
