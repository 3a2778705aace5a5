package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/content"
	"postern/internal/directory/block"
	"postern/internal/directory/field"
	"postern/internal/directory/roster"
	"postern/internal/events"
)

// A history is what earlier blasts left in the tables: copies of one blast that was delivered
// and alerted. It is written directly by SQL, with every row that the blast left in
//
//	record.messages, record.inbox, record.chunks
//	app.sends, app.message_content, app.manifest_keys, app.attempts
//
// and with rows in record.opens for one recipient in fifty, and for nearly all of one message.
//
// The directory changes over the years, and a changed block has a new roster. So in the blocks
// of those who read their inboxes each copy cites a roster of its own, in app.rosters and
// app.roster_facts, and a page of an inbox reads as many rosters as it has messages. In the other
// blocks the copies cite the rosters of the blast.
//
// The events of the blast can't be copied, because they are leaves of the tree. In place of each
// one a sign-in is published, so that record.events, record.hashes and the stream get as many
// rows. Nothing is written to record.chunk_events, nor bodies and manifests to the content
// store. So `postern verify` and `postern rebuild` fail on this data, and nothing that reads the
// events of the copies is measured: their record, receipts and exports.
type history struct {
	system  *system
	conn    *pgx.Conn
	content *content.Store
	random  *rand.Rand
	of      uuid.UUID // the blast that is copied
	readers []string  // the ids of portal users who read their inboxes
	blasts  []earlier // the oldest first

	bytesPerDelivery float64
}

// earlier is an earlier blast.
type earlier struct {
	id uuid.UUID
	at time.Time
}

const (
	historyYears = 6  // for which content is kept
	oneOpens     = 50 // one recipient in so many opens a message
	unopened     = 60 // recipients, at least, who do not open the message that nearly all open
)

// nearlyOpened returns the message that nearly all of its recipients have opened.
func (h *history) nearlyOpened() uuid.UUID { return h.blasts[len(h.blasts)/2].id }

// writeHistory writes so many copies of a blast to n portal users, spread over past years.
func (s *system) writeHistory(ctx context.Context, of string, n, copies int) (*history, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	h := &history{system: s, conn: conn, random: rand.New(rand.NewPCG(1, 2))} // #nosec G404 -- the same history every time
	if h.of, err = uuid.Parse(of); err != nil {
		return nil, err
	}
	if h.content, err = openContent(ctx, s); err != nil {
		return nil, err
	}
	defer func() { _ = h.content.Close() }()
	for i := range readers {
		h.readers = append(h.readers, readerID(n, i))
	}
	begin := time.Now().AddDate(-historyYears, 0, 0)
	step := time.Since(begin) / time.Duration(copies+1)
	for i := range copies {
		at := begin.Add(time.Duration(i) * step).UTC().Truncate(time.Microsecond)
		h.blasts = append(h.blasts, earlier{idAt(h.random, at), at})
	}
	return h, fillAll(ctx, []filling{
		{"rosters", h.fillRosters},
		{fmt.Sprintf("%d blasts", copies), func(ctx context.Context) error { return h.fillBlasts(ctx, n) }},
		{"events", h.fillEvents},
		{"statistics", func(ctx context.Context) error {
			defer syscall.Sync() // or the blasts would wait for the disk to write the history
			return execAll(ctx, conn, `VACUUM ANALYZE`, `CHECKPOINT`)
		}},
	})
}

// fillRosters makes the rosters of the readers' blocks: one for each blast, in which a link of
// another portal user of the block has begun on a different day.
func (h *history) fillRosters(ctx context.Context) error {
	err := execAll(ctx, h.conn, `CREATE TEMPORARY TABLE history_rosters (nth integer, block integer, root bytea NOT NULL, PRIMARY KEY (nth, block))`)
	if err != nil {
		return err
	}
	rows, err := h.conn.Query(ctx, `
		SELECT u.no, r.root, f.facts, n.names
		FROM (SELECT min(portal_user_no) AS no FROM app.portal_users WHERE portal_user_id = ANY($2) GROUP BY record.block_of(portal_user_no)) u
		JOIN record.inbox i ON i.message_id = $1 AND i.block = record.block_of(u.no)
		JOIN app.rosters r ON r.root = i.roster JOIN app.roster_facts f ON f.digest = r.facts JOIN app.roster_names n ON n.digest = r.names`, h.of, h.readers)
	if err != nil {
		return err
	}
	type found struct {
		Reader             int32
		Root, Facts, Names []byte
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[found])
	if err != nil {
		return err
	}
	for _, f := range all {
		r, err := roster.Parse(f.Facts, f.Names)
		if err != nil {
			return err
		}
		if err := h.varyRoster(ctx, &r, f.Root, f.Reader); err != nil {
			return err
		}
	}
	return nil
}

// varyRoster writes the rosters of a block. They have the names and the secret of the roster that
// is given.
func (h *history) varyRoster(ctx context.Context, of *roster.Roster, root []byte, reader int32) error {
	var people []roster.Person
	var other *roster.Link
	err := of.Visit(func(p *roster.Person) bool {
		people = append(people, *p)
		last := &people[len(people)-1]
		last.Links = append([]roster.Link(nil), p.Links...)
		if p.No != reader && len(last.Links) > 0 {
			other = &last.Links[0]
		}
		return true
	})
	if err != nil {
		return err
	}
	if other == nil {
		return fmt.Errorf("block %d has no linked portal user besides a reader", of.Block)
	}
	q, first := &pgx.Batch{}, field.Day(h.blasts[0].at)
	for nth := range h.blasts {
		other.From = field.Date{Day: first - int32(nth), Set: true} // #nosec G115 -- far fewer
		r, err := roster.Make(of.Block, people)
		if err != nil {
			return err
		}
		facts := r.FactsDigest()
		said := roster.Content(r.Block, facts, r.NamesDigest())
		varied := sha256.Sum256(said[:]) // the real root depends on salts
		q.Queue(`INSERT INTO app.roster_facts (digest, facts) VALUES ($1, $2) ON CONFLICT DO NOTHING`, facts[:], r.Facts)
		q.Queue(`INSERT INTO app.rosters (root, block, content, facts, names, secret, kept)
			SELECT $1, block, $2, $3, names, secret, kept FROM app.rosters WHERE root = $4`, varied[:], said[:], facts[:], root)
		q.Queue(`INSERT INTO history_rosters (nth, block, root) VALUES ($1, $2, $3)`, nth, int32(r.Block), varied[:])
	}
	return h.conn.SendBatch(ctx, q).Close()
}

// copyBlast are the statements that write one copy: @id at @at, the @nth, of the blast @of.
var copyBlast = []string{
	// One portal user in each @spared-th block does not open the message, also where all others do.
	`INSERT INTO record.opens (message_id, portal_user_no, opened_at)
	 SELECT @id::uuid, block * 250 + place + 1, @at::timestamptz + interval '1 minute' * (10 + (block + place) % 10000)
	 FROM record.inbox CROSS JOIN generate_series(@first::integer, 249, @step::integer) place
	 WHERE message_id = @of AND record.has_member(members, place) AND NOT (place = @first::integer AND block % @spared::integer = 0)
	 ORDER BY block, place`,
	`INSERT INTO record.messages (message_id, seq, sender_id, recipients, attachments, subject_digest, body_digest, status, hold, bulk,
	     sent_at, release_at, released_at, completed_at, manifest_digest, audience, delivered, alert_accepted, alert_failed, alert_skipped, alert_unknown, opened)
	 SELECT @id::uuid, seq, sender_id, recipients, attachments, subject_digest, body_digest, status, hold, bulk,
	     @at::timestamptz, @at::timestamptz + (release_at - sent_at), @at::timestamptz + (released_at - sent_at), @at::timestamptz + (completed_at - sent_at), manifest_digest, audience, delivered,
	     alert_accepted, alert_failed, alert_skipped, alert_unknown, (SELECT count(*) FROM record.opens WHERE message_id = @id::uuid)
	 FROM record.messages WHERE message_id = @of`,
	`INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at, alert_state, alert_reason, alert_attempt, alert_at)
	 SELECT @id::uuid, chunk, c.seq, first_no, last_no, deliveries, @at::timestamptz + (delivered_at - sent_at), alert_state, alert_reason, alert_attempt, @at::timestamptz + (alert_at - sent_at)
	 FROM record.chunks c JOIN record.messages USING (message_id) WHERE message_id = @of ORDER BY chunk`,
	`INSERT INTO record.inbox (message_id, block, part, chunk, members, patients, roster, day, opened)
	 SELECT @id::uuid, i.block, part, chunk, members, patients, coalesce(r.root, roster), @at::timestamptz::date,
	     (SELECT count(*) FROM record.opens WHERE message_id = @id::uuid AND portal_user_no BETWEEN i.block * 250 + 1 AND i.block * 250 + 250)
	 FROM record.inbox i LEFT JOIN history_rosters r ON r.nth = @nth AND r.block = i.block
	 WHERE message_id = @of ORDER BY i.block, part`,
	`INSERT INTO app.attempts (message_id, chunk, attempt, request, request_id, claimed_by, recipients, claimed_at, answer, sendgrid_id, refusals, answered_at, part)
	 SELECT @id::uuid, chunk, attempt, request, gen_random_uuid(), claimed_by, a.recipients, @at::timestamptz + (claimed_at - sent_at), answer, sendgrid_id, refusals,
	     @at::timestamptz + (answered_at - sent_at), part
	 FROM app.attempts a JOIN record.messages USING (message_id) WHERE message_id = @of ORDER BY chunk, request`,
	`INSERT INTO app.sends (staff_id, idempotency_key, request_digest, message_id, status, sent_at, release_at)
	 SELECT staff_id, @id::uuid::text, request_digest, @id::uuid, status, @at::timestamptz, @at::timestamptz + (release_at - sent_at) FROM app.sends WHERE message_id = @of`,
	`INSERT INTO app.message_content (message_id, wrapped_key, sealed, created_at, copied) VALUES (@id, @key, @sealed, @at, true)`,
	`INSERT INTO app.manifest_keys (message_id, wrapped_key, copied) VALUES (@id, @manifest_key, true)`,
}

func (h *history) fillBlasts(ctx context.Context, n int) error {
	// Right after the start the tables are small, and Postgres would choose plans that read all of them.
	if err := execAll(ctx, h.conn, `SET enable_seqscan = off`, `SET synchronous_commit = off`); err != nil {
		return err
	}
	before, err := h.databaseSize(ctx)
	if err != nil {
		return err
	}
	for nth := range h.blasts {
		if err := h.fillBlast(ctx, nth, max(1, n/block.Size/unopened)); err != nil {
			return fmt.Errorf("copy %d: %w", nth, err)
		}
	}
	after, err := h.databaseSize(ctx)
	h.bytesPerDelivery = float64(after-before) / float64(len(h.blasts)*n)
	return err
}

func (h *history) fillBlast(ctx context.Context, nth, spared int) error {
	b := h.blasts[nth]
	_, wrapped, sealed, err := sealHeader(h.content, b.id, fmt.Sprintf("The practice is closed, notice %d", nth+1))
	if err != nil {
		return err
	}
	_, manifestKey, err := h.content.NewKey(b.id)
	if err != nil {
		return err
	}
	args := pgx.NamedArgs{"id": b.id, "at": b.at, "of": h.of, "nth": nth, "first": nth % oneOpens, "step": oneOpens, "spared": spared,
		"key": wrapped, "sealed": sealed, "manifest_key": manifestKey}
	if b.id == h.nearlyOpened() {
		args["first"], args["step"] = 0, 1
	}
	q := &pgx.Batch{}
	for _, sql := range copyBlast {
		q.Queue(sql, args)
	}
	return h.conn.SendBatch(ctx, q).Close()
}

func (h *history) databaseSize(ctx context.Context) (bytes int64, err error) {
	err = h.conn.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&bytes)
	return bytes, err
}

// fillEvents publishes as many events as the blasts had.
func (h *history) fillEvents(ctx context.Context) error {
	var each int
	if err := h.conn.QueryRow(ctx, `SELECT count(*) FROM record.events WHERE message_id = $1`, h.of).Scan(&each); err != nil {
		return err
	}
	log, err := h.system.openLog(ctx)
	if err != nil {
		return err
	}
	defer log.Close()
	b := &batch{log: log}
	b.publish(ctx, h.blasts[0].at, each*len(h.blasts), func(i int) (string, events.Body) {
		id := h.readers[i%len(h.readers)]
		return "portal_user:" + id, events.SignIn{Attempt: uuid.New(), Account: "portal_user", ID: id, Method: events.ByPassword}
	})
	if b.flush(ctx); b.err != nil {
		return b.err
	}
	return waitForPosition(ctx, h.conn, b.last)
}
