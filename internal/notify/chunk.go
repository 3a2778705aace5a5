package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/text/language"
)

// A chunkRef names the chunk whose alerts are to be sent.
type chunkRef struct {
	message       uuid.UUID
	chunk, chunks int
	seq           uint64 // of its deliveries.created
	part          *part  // of a replay; nil: the first attempt, not a replay
	amends        bool   // its outcome is recorded, and an answer came after it
}

// attempt is the number of the attempt at the chunk's alerts.
func (r chunkRef) attempt() int {
	if r.part != nil {
		return r.part.attempt
	}
	return firstAttempt
}

// partNr is the number of the replay's part, 0 for a first attempt. It distinguishes the
// parts that make the same attempt at one chunk.
func (r chunkRef) partNr() int64 {
	if r.part != nil {
		return r.part.nr
	}
	return 0
}

// recipient is one delivery of a chunk, in the order of portal user numbers: its
// place in that order is its position.
type recipient struct {
	no     int32
	email  string
	notDue string // why no alert is sent to this recipient; "" where one may be sent
	// language is that of the alert; "" for the default.
	language language.Language
}

// claim is a row of app.attempts: a request that was made or will be made.
type claim struct {
	attempt    int
	request    int
	id         uuid.UUID
	claimedBy  uuid.UUID
	positions  []int
	answer     string // "" until it is known
	sendgridID string
	refusals   []refusal // of a refused request: none where SendGrid named no recipient
}

// refusal is a recipient that SendGrid refused. Alone says that SendGrid named no recipient
// and that the request had no other recipient.
type refusal struct {
	Position int    `json:"position"`
	Reason   string `json:"reason"`
	Alone    bool   `json:"alone,omitempty"`
}

// The answers of app.attempts.
const (
	answerAccepted = "accepted" // SendGrid accepted the request
	answerRefused  = "refused"  // SendGrid refused it because of recipients, named or not
	answerAgain    = "again"    // SendGrid refused it for a temporary reason
	answerUnknown  = "unknown"  // SendGrid may have accepted it
)

// work is the state of a chunk when a handler takes it.
type work struct {
	chunkRef
	with       *member // see membership
	notDue     string  // why none of the recipients gets an alert; "" where it depends on the recipient
	held       bool    // by a pause
	done       bool    // the outcome is recorded
	recipients []recipient
	claims     []claim
	earlier    []claim // of earlier attempts, if SendGrid accepted them
	// bounced are the alerts of earlier attempts that SendGrid accepted and later reported
	// as failed.
	bounced map[alertKey]bool
	// sound says that SendGrid has accepted other requests since it refused single
	// recipients of this chunk: then those recipients are at fault.
	sound bool
}

// number is the number of the next request. After a failover there may be gaps.
func (w *work) number() int {
	if len(w.claims) == 0 {
		return 0
	}
	return w.claims[len(w.claims)-1].request + 1
}

// alertKey is one attempt at a recipient's alert.
type alertKey struct {
	no      int32
	attempt int
}

// firstAttempt is the number of the attempt that is not a replay.
const firstAttempt = 1

// claimOf is a claim and the chunk whose claim it is.
type claimOf struct {
	claim
	chunkRef
}

// insert commits a claim: see [insertAll].
func (c *claim) insert(ctx context.Context, pool *pgxpool.Pool, ref chunkRef) (claimed bool, err error) {
	all, err := insertAll(ctx, pool, []claimOf{{*c, ref}})
	return err == nil && all[0], err
}

// insertAll commits claims, and returns for each whether this worker may call SendGrid. It may
// not where
//   - another worker has claimed that number, has ended the part, or has declared the
//     answer of this claim unknown;
//   - a failover of Postgres is not settled (promotion.go);
//   - the recorder is behind the chunk, as after a crash of Postgres: a claim implies that
//     Postgres keeps the position (see reached).
//
// Called again after an error, it finds the claims that the first call committed.
func insertAll(ctx context.Context, pool *pgxpool.Pool, all []claimOf) (claimed []bool, err error) {
	n := len(all)
	messages, chunks, attempts, requests := make([]uuid.UUID, n), make([]int, n), make([]int, n), make([]int, n)
	ids, workers, bits, parts, seqs := make([]uuid.UUID, n), make([]uuid.UUID, n), make([][]byte, n), make([]int64, n), make([]int64, n)
	for i, c := range all {
		messages[i], chunks[i], attempts[i], requests[i] = c.message, c.chunk, c.chunkRef.attempt(), c.request
		ids[i], workers[i], bits[i], parts[i], seqs[i] = c.id, c.claimedBy, bitmap(c.positions), c.partNr(), int64(c.seq) // #nosec G115 -- a sequence
	}
	// The order avoids a deadlock with another worker that claims some of the same requests.
	rows, err := pool.Query(ctx, `
		WITH given AS (
		    SELECT * FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::integer[], $5::uuid[], $6::uuid[], $7::bytea[], $8::bigint[], $9::bigint[])
		    AS g (message_id, chunk, attempt, request, request_id, claimed_by, recipients, part, seq)),
		open AS (SELECT w.part FROM app.alert_work w JOIN given g USING (message_id, chunk, part)
		    WHERE w.part > 0 AND w.state <> 'done' AND NOT w.wound_up FOR SHARE OF w),
		settled AS (SELECT FROM app.timelines WHERE timeline = app.timeline() AND settled_at IS NOT NULL), claimed AS (
		INSERT INTO app.attempts (message_id, chunk, attempt, request, request_id, claimed_by, recipients, part)
		SELECT message_id, chunk, attempt, request, request_id, claimed_by, recipients, part FROM given g
		WHERE (part = 0 OR part IN (SELECT part FROM open)) AND EXISTS (SELECT FROM settled) AND EXISTS (SELECT FROM record.position p WHERE p.seq >= g.seq)
		ORDER BY message_id, chunk, attempt, part, request
		ON CONFLICT DO NOTHING RETURNING request_id)
		SELECT request_id FROM claimed UNION SELECT request_id FROM app.attempts WHERE request_id = ANY($5) AND answer IS NULL`,
		messages, chunks, attempts, requests, ids, workers, bits, parts, seqs)
	if err == nil {
		claimed, err = markedAmong(rows, ids)
	}
	if err != nil {
		return nil, fmt.Errorf("claiming requests: %w", err)
	}
	return claimed, nil
}

// markedAmong says for each of the ids whether it is among the rows.
func markedAmong(rows pgx.Rows, ids []uuid.UUID) ([]bool, error) {
	marked := make([]bool, len(ids))
	var id uuid.UUID
	_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
		if i := slices.Index(ids, id); i >= 0 {
			marked[i] = true
		}
		return nil
	})
	return marked, err
}

// settleAccepted stores the answers of claims that SendGrid accepted, and returns for each
// whether it is stored. The others are not: they have an answer already, or there is no such
// claim any more. See settle for those.
func settleAccepted(ctx context.Context, pool *pgxpool.Pool, all []claimOf) (stored []bool, err error) {
	ids, sendgridIDs := make([]uuid.UUID, len(all)), make([]string, len(all))
	for i, c := range all {
		ids[i], sendgridIDs[i] = c.id, c.sendgridID
	}
	rows, err := pool.Query(ctx, `
		UPDATE app.attempts a SET answer = 'accepted', sendgrid_id = g.sendgrid_id, answered_at = now()
		FROM unnest($1::uuid[], $2::text[]) g (request_id, sendgrid_id) WHERE a.request_id = g.request_id AND a.answer IS NULL
		RETURNING a.request_id`, ids, sendgridIDs)
	if err == nil {
		stored, err = markedAmong(rows, ids)
	}
	if err != nil {
		return nil, fmt.Errorf("writing the answers of requests: %w", err)
	}
	return stored, nil
}

// publishedAgain is the end of a statement that writes an answer; its part "settled" says
// whether the answer is late. A late answer may follow a recorded outcome that says
// unknown. So the chunk, or the reopened part of a replay, is due again, and the next worker
// publishes the outcome again.
const publishedAgain = `, of_first AS (
		    INSERT INTO app.alert_work AS w (message_id, chunk, kind, chunks, seq, due_at, tries, reason, amends)
		    SELECT $5::uuid, $6::integer, 'first', $7::integer, $8::bigint, now(), 1, $10::text, true FROM settled WHERE late AND $9::bigint = 0
		    ON CONFLICT (message_id, chunk, part) DO UPDATE SET amends = true, tries = w.tries + 1, due_at = least(w.due_at, excluded.due_at)), of_replay AS (
		    UPDATE app.alert_work w SET amends = w.state <> 'done', wound_up = w.wound_up OR w.state = 'done', done_at = NULL,
		        due_at = CASE w.state WHEN 'done' THEN now() ELSE w.due_at END, state = CASE w.state WHEN 'done' THEN 'waiting' ELSE w.state END
		    FROM settled WHERE late AND w.message_id = $5 AND w.chunk = $6 AND w.part = $9::bigint AND w.kind = 'replay')
		SELECT EXISTS (SELECT FROM settled WHERE late)`

// settle stores the answer of a claim. An answer that replaces unknown is late; an answer
// never replaces another answer. lost says that the claim does not exist, as after a
// failover of Postgres: see restore.
func (c *claim) settle(ctx context.Context, db database, ref chunkRef) (late, lost bool, err error) {
	err = db.QueryRow(ctx, `
		WITH before AS (SELECT answer FROM app.attempts WHERE request_id = $1 FOR UPDATE), settled AS (
		    UPDATE app.attempts a SET answer = $2, sendgrid_id = $3, refusals = $4, answered_at = now()
		    FROM before b WHERE a.request_id = $1 AND (b.answer IS NULL OR b.answer = 'unknown')
		    RETURNING b.answer IS NOT NULL AND $2 <> 'unknown' AS late)`+publishedAgain+`, NOT EXISTS (SELECT FROM before)`,
		c.id, c.answer, c.sendgridID, c.refusals, ref.message, ref.chunk, ref.chunks, ref.seq, ref.partNr(), reasonLate).Scan(&late, &lost)
	if err != nil {
		return false, false, fmt.Errorf("writing the answer of request %d: %w", c.request, err)
	}
	return late, lost, nil
}

// errNumberTaken says that another worker claimed a request at the same moment.
var errNumberTaken = errors.New("another worker has taken the number of the request")

// restore writes a claim again, with its answer, after a failover of Postgres has lost it.
// By then another claim, which makes the recipients unknown, may have its number. In that
// case the restored claim gets the next number and is late. A part of a replay that was
// lost too is created again and makes no further request: by then its other recipients
// belong to other parts.
func (c *claim) restore(ctx context.Context, pool *pgxpool.Pool, ref chunkRef) (late bool, err error) {
	var there bool
	p := ref.part
	if p == nil {
		p = &part{}
	}
	err = pool.QueryRow(ctx, `
		WITH there AS (SELECT FROM app.attempts WHERE request_id = $1), others AS (
		    SELECT request FROM app.attempts WHERE message_id = $5 AND chunk = $6 AND attempt = $11 AND part = $9), restored AS (
		    INSERT INTO app.attempts (message_id, chunk, attempt, part, request, request_id, claimed_by, recipients, answer, sendgrid_id, refusals, answered_at)
		    SELECT $5, $6, $11::integer, $9, CASE WHEN $12::integer IN (SELECT request FROM others) THEN (SELECT max(request) + 1 FROM others) ELSE $12 END,
		        $1::uuid, $13::uuid, $14::bytea, $2::text, $3::text, $4::jsonb, now()
		    WHERE NOT EXISTS (SELECT FROM there) ON CONFLICT DO NOTHING RETURNING request), part AS (
		    INSERT INTO app.alert_work (part, kind, replay_id, message_id, chunk, chunks, attempt, recipients, due_at, wound_up)
		    SELECT $9, 'replay', $15::uuid, $5, $6, $7, $11, $16::integer[], now(), true FROM restored WHERE $9 > 0 ON CONFLICT DO NOTHING), settled AS (
		    SELECT request <> $12 AND $2 <> 'unknown' AS late FROM restored)`+publishedAgain+`, EXISTS (SELECT FROM there) OR EXISTS (SELECT FROM restored)`,
		c.id, c.answer, c.sendgridID, c.refusals, ref.message, ref.chunk, ref.chunks, ref.seq, ref.partNr(), reasonLate,
		ref.attempt(), c.request, c.claimedBy, bitmap(c.positions), p.replay, p.nos).Scan(&late, &there)
	if err == nil && !there {
		err = errNumberTaken
	}
	if err != nil {
		return false, fmt.Errorf("writing request %d again: %w", c.request, err)
	}
	return late, nil
}

// acceptedSince says whether SendGrid has accepted any request since the first answer to
// the named ones.
func acceptedSince(ctx context.Context, pool *pgxpool.Pool, requests []uuid.UUID) (accepted bool, err error) {
	err = pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM app.attempts WHERE answer = 'accepted'
		AND answered_at > (SELECT min(answered_at) FROM app.attempts WHERE request_id = ANY($1)))`, requests).Scan(&accepted)
	if err != nil {
		return false, fmt.Errorf("looking whether SendGrid accepts other requests: %w", err)
	}
	return accepted, nil
}

// takeRefusalsBack changes the refused requests of a chunk to requests that were refused
// for a temporary reason: no recipient was at fault.
func (w *work) takeRefusalsBack(ctx context.Context, pool *pgxpool.Pool) error {
	var ids []uuid.UUID
	for _, c := range w.claims {
		if c.answer == answerRefused && (len(c.refusals) == 0 || c.refusals[0].Alone) {
			ids = append(ids, c.id)
		}
	}
	_, err := pool.Exec(ctx, `UPDATE app.attempts SET answer = $2, refusals = NULL WHERE request_id = ANY($1) AND answer = $3`,
		ids, answerAgain, answerRefused)
	if err != nil {
		return fmt.Errorf("taking refusals back: %w", err)
	}
	return nil
}

// bitmap and positions convert positions in a chunk to bits and back.
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
