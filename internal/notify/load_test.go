package notify

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/directory/roster"
	"postern/internal/directory/roster/cited"
	"postern/internal/events"
	"postern/internal/notify/sendgridfake"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// A recipient's position is the place among the chunk's portal users, also where the rows of
// some portal users were lost and whether the portal users of the chunk are neighbours or far
// apart.
func TestRecipientsAreLoadedByPosition(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]int32{"all neighbours": 1, "every second": 2, "far apart": 90} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := storetest.Pool(t, store.RoleAdmin)
			ref, want := addChunk(t, pool, step)
			work, err := load(t.Context(), pool, ref)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, work.recipients, cmp.AllowUnexported(recipient{})); diff != "" {
				t.Errorf("the recipients (-want +got):\n%s", diff)
			}
			// A part of a replay has the same positions, and the addresses of its own recipients.
			ref.part = &part{nr: 1, attempt: 2, nos: []int32{want[2].no, want[7].no}}
			exec(t, pool, `INSERT INTO app.alert_work (message_id, chunk, part, kind, chunks, attempt, replay_id, recipients, due_at)
				VALUES ($1, 0, 1, 'replay', 1, 2, $1, $2, now())`, ref.message, ref.part.nos)
			if work, err = load(t.Context(), pool, ref); err != nil {
				t.Fatal(err)
			}
			for i, r := range work.recipients {
				if r.no != want[i].no || ref.part.concerns(r.no) && r != want[i] {
					t.Errorf("in a part, position %d is %+v", i, r)
				}
			}
		})
	}
}

// addChunk makes a message of one chunk to every step-th portal user, and returns its
// recipients. Of some the row is lost, the account inactive, or the address missing or dead.
func addChunk(t *testing.T, pool *pgxpool.Pool, step int32) (ref chunkRef, want []recipient) {
	t.Helper()
	const n = 40
	ref = chunkRef{message: uuid.New(), chunks: 1, seq: 1}
	var nos []int32
	for i := range int32(n) {
		r := recipient{no: 200 + i*step, email: fmt.Sprintf("p%d@x.test", 200+i*step)}
		switch i % 6 {
		case 0:
			r.email, r.notDue = "", "the directory has lost this portal user"
		case 1:
			r.email, r.notDue = "", reasonNoAddress
		case 3:
			r.notDue = "the account is inactive"
		case 4:
			r.notDue = "the e-mail address does not work: SendGrid reported 550"
		case 5:
			r.notDue = "opted out of e-mails"
		}
		nos, want = append(nos, r.no), append(want, r)
	}
	exec(t, pool, `INSERT INTO app.portal_users (portal_user_no, portal_user_id, name, email, active) OVERRIDING SYSTEM VALUE
		SELECT no, 'p' || no, 'P', 'p' || no || '@x.test', true FROM generate_series(1, $1::integer) no`, nos[n-1]+1)
	for i, sql := range []string{
		`DELETE FROM app.portal_users WHERE portal_user_no = $1`,
		`UPDATE app.portal_users SET email = '' WHERE portal_user_no = $1`,
		`SELECT $1::integer`,
		`UPDATE app.portal_users SET active = false WHERE portal_user_no = $1`,
		`INSERT INTO record.dead_addresses (portal_user_no, address_version, since, reason, report_id) VALUES ($1, 0, now(), '550', 'r')`,
		`INSERT INTO record.alert_opt_outs VALUES ($1, 'one_click', now())`,
	} {
		for ; i < n; i += 6 {
			exec(t, pool, sql, nos[i])
		}
	}
	exec(t, pool, `INSERT INTO record.messages (message_id, seq, sender_id, recipients, attachments, subject_digest, body_digest, status, hold, bulk,
		sent_at, release_at, completed_at, delivered) VALUES ($1, 1, 's', '{}', '[]', '', '', 'sent', 'none', true, now(), now(), now(), $2)`, ref.message, n)
	exec(t, pool, `INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at) VALUES ($1, 0, 1, $2, $3, $4, now())`,
		ref.message, nos[0], nos[n-1], n)
	exec(t, pool, recordertest.Delivered(`SELECT $1::uuid, no, 0, '{}'::integer[] FROM unnest($2::integer[]) no`), ref.message, nos)
	return ref, want
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// An outcome names a recipient whose portal user Postgres has lost: the chunk's event has the
// id, or the roster that it cites. Without the roster there is no outcome yet.
func TestALostPortalUserIsNamed(t *testing.T) {
	t.Parallel()
	want := map[string]string{"a": accepted, "b": skipped, "c": accepted, "d": skipped, "e": accepted}
	ids := []string{"a", "b", "c", "d", "e"}
	record := func(t *testing.T, p *post, body events.Body) {
		e, err := events.New(source, actor, time.Now(), body)
		if err != nil {
			t.Fatal(err)
		}
		e.Chunk = &events.ChunkRef{Index: 0, Of: 1}
		stored, err := merkle.Pack(&merkle.Stored{Seq: 1, Subject: e.Subject(), Header: e.Header(), Data: e.Data})
		if err != nil {
			t.Fatal(err)
		}
		p.exec(t, `INSERT INTO record.events (seq, type, actor, message_id, projected, leaf, stored) VALUES (1, 'deliveries.created', 'a', $1, true, '', $2)`, p.ref.message, stored)
		p.exec(t, `DELETE FROM app.portal_users WHERE portal_user_id = 'b'`)
	}
	t.Run("by the event", func(t *testing.T) {
		t.Parallel()
		p := newPost(t, sendgridfake.Config{})
		body := events.DeliveriesCreated{MessageID: p.ref.message}
		for i, id := range ids {
			body.Recipients = append(body.Recipients, events.Recipient{PortalUserID: id, PortalUserNo: int32(i + 1), Links: []events.Link{}}) // #nosec G115 -- few
		}
		record(t, p, body)
		if diff := cmp.Diff(want, p.run(t)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("by the roster", func(t *testing.T) {
		t.Parallel()
		p := newPost(t, sendgridfake.Config{})
		inBlock := events.CitedBlock{Roster: events.NewNonce()}
		var people []roster.Person
		for i, id := range ids {
			inBlock.Members.Add(i)
			people = append(people, roster.Person{No: int32(i + 1), ID: id, Active: true}) // #nosec G115 -- few
		}
		record(t, p, events.DeliveriesByBlock{MessageID: p.ref.message, Day: time.Now(), Groups: []string{"all_portal_users"}, Selection: "sha256:0",
			Nonce: events.NewNonce(), Blocks: []events.CitedBlock{inBlock}})
		if err := p.alertOrDefer(t.Context(), p.ref, 0); !errors.Is(err, cited.ErrDamaged) {
			t.Errorf("without the roster: %v", err)
		}
		r, err := roster.Make(0, people)
		if err != nil {
			t.Fatal(err)
		}
		facts, names := r.FactsDigest(), r.NamesDigest()
		digest := roster.Content(0, facts, names)
		p.exec(t, `INSERT INTO app.roster_facts (digest, facts) VALUES ($1, $2)`, facts[:], r.Facts)
		p.exec(t, `INSERT INTO app.roster_names (digest, names) VALUES ($1, $2)`, names[:], r.Names)
		p.exec(t, `INSERT INTO app.rosters (root, block, content, facts, names, secret) VALUES ($1, 0, $2, $3, $4, $5)`,
			inBlock.Roster[:], digest[:], facts[:], names[:], make([]byte, 60))
		if diff := cmp.Diff(want, p.run(t)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
