package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/content"
	"postern/internal/content/message"
	"postern/internal/directory"
	"postern/internal/events"
)

// clinic is a large clinic with the tables of one year. The tables of the directory and
// of most messages are filled directly by SQL. The data that the pages of the record read
// is published to the record, and the recorder projects it.
type clinic struct {
	system          *system
	conn            *pgx.Conn
	content         *content.Store
	users, messages int
	sender          string // the staff id that sent most messages and requests the pages
	random          *rand.Rand

	toAll, toFew, middle uuid.UUID // a message to all portal users, one to a few, one from half a year ago
	toAllAt              time.Time // when all deliveries of toAll could be read
}

// fill creates the clinic and then runs VACUUM ANALYZE, as autovacuum would in time.
func (c *clinic) fill(ctx context.Context) error {
	return fillAll(ctx, []filling{
		{"staff", c.fillStaff},
		{"directory", c.fillDirectory},
		{"messages", c.fillMessages},
		{"messages in the record", c.fillSent},
		{"deliveries", c.fillDeliveries},
		{"record", c.fillRecord},
		{"statistics", func(ctx context.Context) error { return execAll(ctx, c.conn, `VACUUM ANALYZE`) }},
	})
}

// filling fills in a part of the data.
type filling struct {
	what string
	do   func(context.Context) error
}

func fillAll(ctx context.Context, parts []filling) error {
	for _, part := range parts {
		taken := stopwatch()
		if err := part.do(ctx); err != nil {
			return fmt.Errorf("filling in the %s: %w", part.what, err)
		}
		fmt.Printf("filled in the %s in %.0f s\n", part.what, taken())
	}
	return nil
}

func (c *clinic) fillStaff(ctx context.Context) error {
	return c.exec(ctx,
		`INSERT INTO record.staff (staff_id, name, created_at) SELECT 'staff-' || i, 'Colleague ' || i, now() FROM generate_series(1, 300) i`,
		`INSERT INTO app.staff_accounts (staff_id, email) SELECT 'staff-' || i, 'colleague' || i || '@clinic.example' FROM generate_series(1, 300) i`)
}

// fillDirectory creates the portal users. Nine in ten are patients themselves, and the
// others represent one. One in five patients is discharged. Names have a realistic
// distribution: some are common, others rare.
func (c *clinic) fillDirectory(ctx context.Context) error {
	given := strings.Fields("Maria Anna John Peter Fatima Wei José Olga Ahmed Linda Ivan Chloé Yuki Nadia Omar Sofia Lars Mei Amara Jürgen")
	var family []string
	for _, a := range strings.Fields("Al Ber Cas Dor El Fos Gar Hol In Jan Kov Lem Mar Nor Ols") {
		for _, b := range strings.Fields("a e i o u an en in on er") {
			for _, z := range strings.Fields("berg sen man ski ova dez ton ley ner rup sson wick") {
				family = append(family, a+b+z)
			}
		}
	}
	if err := c.exec(ctx, `SELECT setseed(0.5)`); err != nil {
		return err
	}
	_, err := c.conn.Exec(ctx, `
		INSERT INTO app.patients (birth_date, status, patient_id, given_name, family_name)
		SELECT date '1930-01-01' + i % 30000, CASE WHEN i % 5 = 0 THEN 'discharged' ELSE 'active' END, 'p' || i,
		       ($1::text[])[1 + floor(cardinality($1::text[]) * random() ^ 2)::integer],
		       ($2::text[])[1 + floor(cardinality($2::text[]) * random() ^ 1.5)::integer]
		FROM generate_series(1, $3) i`, given, family, c.users)
	if err != nil {
		return err
	}
	err = c.exec(ctx,
		`INSERT INTO app.portal_users (active, portal_user_id, name, email)
		 SELECT patient_no % 50 <> 0, 'u' || patient_no,
		        CASE WHEN patient_no % 10 = 0 THEN 'Representative ' ELSE given_name || ' ' END || family_name,
		        CASE WHEN patient_no % 33 = 0 THEN '' ELSE lower(given_name) || patient_no || '@example.test' END
		 FROM app.patients ORDER BY patient_no`,
		`INSERT INTO app.links (portal_user_no, patient_no, valid_from, relationship)
		 SELECT portal_user_no, portal_user_no, NULL, CASE WHEN portal_user_no % 10 = 0 THEN 'representative' ELSE 'self' END
		 FROM app.portal_users ORDER BY portal_user_no`)
	if err != nil {
		return err
	}
	_, err = directory.FoldNames(ctx, c.conn)
	return err
}

var subjects = strings.Fields("consent results appointment vaccine holiday billing aftercare referral allergy surgery records intake physiotherapy update")

// fillMessages creates the messages of a year, with sealed subjects as in a real send.
// Half are from the sender; one in five has the sender as Staff Bcc.
func (c *clinic) fillMessages(ctx context.Context) error {
	begin := time.Now().AddDate(-1, 0, 0)
	step := time.Since(begin) / time.Duration(c.messages+1)
	var messages, secrets, bcc [][]any
	for i := range c.messages {
		at := begin.Add(time.Duration(i) * step).UTC().Truncate(time.Microsecond)
		id := idAt(c.random, at)
		sender, status, recipients, count := c.sender, "sent", fmt.Sprintf(`{"portal_user_ids": ["u%d"], "groups": []}`, 1+c.random.IntN(c.users)), 1+i%3
		switch {
		case i%100 == 1:
			status = "cancelled"
		case i%200 == 2:
			status = "recalled"
		case i%1000 == 3:
			status = "scheduled"
		}
		if i%2 == 1 {
			sender = fmt.Sprintf("staff-%d", 1+c.random.IntN(300))
		}
		switch i {
		case c.messages - 20:
			c.toFew = id
		case c.messages / 2:
			c.middle = id
		}
		messages = append(messages, messageRow(id, i, sender, recipients, status, at, count))
		sealed, err := c.seal(ctx, id)
		if err != nil {
			return err
		}
		secrets = append(secrets, sealed)
		if i%5 == 1 {
			bcc = append(bcc, []any{c.sender, id})
		}
	}
	for _, t := range []struct {
		schema, table string
		columns       []string
		rows          [][]any
	}{
		{"record", "messages", strings.Fields("message_id seq sender_id recipients attachments subject_digest body_digest status hold bulk " +
			"sent_at release_at released_at cancelled_at completed_at recalled_at recall_reason audience delivered alert_accepted"), messages},
		{"app", "message_content", strings.Fields("message_id wrapped_key sealed copied"), secrets},
		{"record", "message_bcc", strings.Fields("staff_id message_id"), bcc},
	} {
		if _, err := c.conn.CopyFrom(ctx, pgx.Identifier{t.schema, t.table}, t.columns, pgx.CopyFromRows(t.rows)); err != nil {
			return err
		}
	}
	return nil
}

func messageRow(id uuid.UUID, seq int, sender, recipients, status string, at time.Time, count int) []any {
	var released, cancelled, completed, recalled, reason any = at, nil, at, nil, nil
	release, delivered := at, count
	switch status {
	case "scheduled":
		release, released, completed, delivered = at.AddDate(3, 0, 0), nil, nil, 0
	case "cancelled":
		released, cancelled, completed, delivered = nil, at, nil, 0
	case "recalled":
		recalled, reason = at, "Sent too early"
	}
	return []any{id, seq, sender, recipients, `[]`, "sha256:0", "sha256:0", status, string(events.HoldScheduled), count > 1000,
		at, release, released, cancelled, completed, recalled, reason, count, delivered, delivered}
}

// seal returns the row of app.message_content for a message, with its own key.
func (c *clinic) seal(ctx context.Context, id uuid.UUID) ([]any, error) {
	word := func() string { return subjects[c.random.IntN(len(subjects))] }
	key, wrapped, sealed, err := sealHeader(c.content, id, fmt.Sprintf("About your %s and %s %d", word(), word(), c.random.IntN(10_000)))
	if err != nil {
		return nil, err
	}
	if id == c.toFew { // a page opens this message
		text := strings.NewReader("We are closed on Monday.\n\nYours, the clinic.")
		if _, err := c.content.Put(ctx, content.BodyOf(id), key, text); err != nil {
			return nil, err
		}
	}
	return []any{id, wrapped, sealed, true}, nil // copied is true, or the api would copy the keys during the measurement
}

// sealHeader makes the key of a message, and returns it with its wrapped form and the sealed header.
func sealHeader(store *content.Store, id uuid.UUID, subject string) (key content.Key, wrapped, sealed []byte, err error) {
	if key, wrapped, err = store.NewKey(id); err != nil {
		return key, nil, nil, err
	}
	plain, err := json.Marshal(message.Header{Subject: subject, Attachments: []message.Attachment{}, StaffBcc: []string{}, Salt: make([]byte, 16)})
	if err != nil {
		return key, nil, nil, err
	}
	sealed, err = key.Seal("header", plain)
	return key, wrapped, sealed, err
}

// fillDeliveries creates the deliveries of the messages that are not in the record. It
// also marks some alerts of the message to all portal users as failed or unknown; alerts
// of portal users without an address were skipped.
func (c *clinic) fillDeliveries(ctx context.Context) error {
	if _, err := c.conn.Exec(ctx, `
		CREATE TEMPORARY TABLE blast AS SELECT $1::uuid AS message_id`, c.toAll); err != nil {
		return err
	}
	return c.exec(ctx,
		`INSERT INTO record.alert_exceptions (message_id, portal_user_no, chunk, state, reason, attempt, at)
		 SELECT message_id, portal_user_no, chunk, state, 'no such mailbox', 1, now() FROM record.deliveries JOIN blast USING (message_id),
		     LATERAL (SELECT CASE WHEN portal_user_no % 100 = 7 THEN 'failed' WHEN portal_user_no % 5000 = 11 THEN 'unknown' END) x (state)
		 WHERE state IS NOT NULL ON CONFLICT DO NOTHING`,
		`INSERT INTO record.inbox (message_id, block, part, chunk, members, patients)
		 SELECT message_id, record.block_of(no), 0, 0, record.members_of(array_agg(no ORDER BY no)),
		        string_to_array(string_agg(no || ',0', ',' ORDER BY no), ',')::integer[]
		 FROM (SELECT DISTINCT m.message_id, no FROM record.messages m, (SELECT count(*)::integer AS n FROM app.portal_users) u, generate_series(1, m.audience) i,
		     LATERAL (SELECT 20 + abs(hashint8(m.seq * 10 + i)::bigint % (u.n - 20))::integer) x (no)
		 WHERE NOT EXISTS (SELECT FROM record.chunks c WHERE c.message_id = m.message_id) AND m.delivered > 0) d
		 GROUP BY message_id, record.block_of(no)`,
		`INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at, alert_state, alert_attempt, alert_at)
		 SELECT d.message_id, 0, min(m.seq), min(portal_user_no), max(portal_user_no), count(*), min(m.sent_at), 'accepted', 1, min(m.sent_at)
		 FROM record.deliveries d JOIN record.messages m USING (message_id)
		 WHERE NOT EXISTS (SELECT FROM record.chunks c WHERE c.message_id = m.message_id) GROUP BY d.message_id`,
		`UPDATE record.messages m SET alert_failed = f, alert_skipped = s, alert_unknown = u, alert_accepted = delivered - f - s - u
		 FROM (SELECT message_id, count(*) FILTER (WHERE state = 'failed') f, count(*) FILTER (WHERE state = 'skipped') s,
		              count(*) FILTER (WHERE state = 'unknown') u FROM record.alert_exceptions GROUP BY message_id) x
		 WHERE x.message_id = m.message_id`)
}

func (c *clinic) exec(ctx context.Context, statements ...string) error {
	return execAll(ctx, c.conn, statements...)
}

func execAll(ctx context.Context, conn *pgx.Conn, statements ...string) error {
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// idAt returns a message id (UUIDv7) with that time.
func idAt(random *rand.Rand, at time.Time) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:], uint64(at.UnixMilli())<<16|random.Uint64N(1<<12)) // #nosec G115 -- after 1970
	binary.BigEndian.PutUint64(id[8:], random.Uint64())
	id[6] = 0x70 | id[6]&0x0f
	id[8] = 0x80 | id[8]&0x3f
	return id
}

// openContent opens the system's content store, as its own processes do.
func openContent(ctx context.Context, s *system) (*content.Store, error) {
	return content.Open(ctx, filepath.Join(s.data, "content"), filepath.Join(s.data, "content.key"))
}
