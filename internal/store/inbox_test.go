package store_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"postern/internal/directory/block"
	"postern/internal/events"
	"postern/internal/recorder/inboxrows"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// The functions of the database and package block say the same of blocks and their members.
func TestBlocksInTheDatabaseAreThoseOfGo(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	rapid.Check(t, func(rt *rapid.T) {
		no := rapid.Int32Min(1).Draw(rt, "portal user")
		of, at := block.Of(no)
		var members block.Members
		nos := []int32{no}
		for _, place := range rapid.SliceOfNDistinct(rapid.IntRange(0, int((1<<31-2)%block.Size)), 0, 60, rapid.ID).Draw(rt, "others") {
			nos = append(nos, of.At(place))
		}
		slices.Sort(nos)
		nos = slices.Compact(nos)
		for _, no := range nos {
			_, place := block.Of(no)
			members.Add(place)
		}
		other := rapid.IntRange(0, block.Size-1).Draw(rt, "place")
		var gotBlock, gotPlace, count int
		var form []byte
		var has, valid bool
		var back []int32
		if err := pool.QueryRow(t.Context(), `SELECT record.block_of($1), record.place_of($1), record.members_of($2), record.member_count($3),
			record.has_member($3, $4), record.is_members($3), ARRAY(SELECT record.portal_users_of($5, $3))`,
			no, nos, members.AppendTo(nil), other, int32(of)).Scan(&gotBlock, &gotPlace, &form, &count, &has, &valid, &back); err != nil {
			rt.Fatal(err)
		}
		if gotBlock != int(of) || gotPlace != at || !bytes.Equal(form, members.AppendTo(nil)) || count != members.Count() ||
			has != members.Has(other) || !valid || !slices.Equal(back, nos) {
			rt.Fatalf("of %d and %v the database says block %d, place %d, members %x, count %d, has place %d: %t, valid %t, portal users %v",
				no, nos, gotBlock, gotPlace, form, count, other, has, valid, back)
		}
		raw := rapid.SliceOfN(rapid.Byte(), 0, 34).Draw(rt, "raw")
		_, err := block.Parse(raw)
		if err := pool.QueryRow(t.Context(), `SELECT record.is_members($1)`, raw).Scan(&valid); err != nil {
			rt.Fatal(err)
		}
		if valid != (err == nil) {
			rt.Fatalf("the database says that %x is members: %t, and Go: %v", raw, valid, err)
		}
	})
}

// The inbox can't hold what can't be.
func TestTheInboxRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	const insert = `INSERT INTO record.inbox (message_id, block, part, chunk, members, opened, patients, roster, day) VALUES `
	const message = `'0197aaaa-0000-7000-8000-000000000001'`
	full, root := `'\x`+strings.Repeat("ff", 31)+`03'`, `'\x`+strings.Repeat("0a", 32)+`'`
	for name, row := range map[string]string{
		"a second row for a block":       `(` + message + `, 0, 0, 1, '\x01', 0, '{}', NULL, NULL)`,
		"a second row for a cited block": `(` + message + `, 2, 0, 1, '\x02', 0, NULL, ` + root + `, '2026-03-01')`,
		"a part of a cited block":        `(` + message + `, 2, 1, 1, '\x02', 0, NULL, ` + root + `, '2026-03-01')`,
		"a member outside":               `(` + message + `, 1, 0, 0, '\xfa', 0, '{}', NULL, NULL)`,
		"a member twice":                 `(` + message + `, 1, 0, 0, '\x0101', 0, '{}', NULL, NULL)`,
		"members out of order":           `(` + message + `, 1, 0, 0, '\x0201', 0, '{}', NULL, NULL)`,
		"no member":                      `(` + message + `, 1, 0, 0, '\x', 0, '{}', NULL, NULL)`,
		"a bitmap of few":                `(` + message + `, 1, 0, 0, '\x` + strings.Repeat("00", 31) + `01', 0, '{}', NULL, NULL)`,
		"a bitmap with one outside":      `(` + message + `, 1, 0, 0, '\x` + strings.Repeat("ff", 31) + `07', 0, '{}', NULL, NULL)`,
		"more opened than members":       `(` + message + `, 1, 0, 0, '\x0102', 3, '{}', NULL, NULL)`,
		"fewer than none opened":         `(` + message + `, 1, 0, 0, '\x0102', -1, '{}', NULL, NULL)`,
		"a block below 0":                `(` + message + `, -1, 0, 0, '\x01', 0, '{}', NULL, NULL)`,
		"another chunk's part":           `(` + message + `, 1, 2, 3, '\x01', 0, '{}', NULL, NULL)`,
		"neither patients nor a roster":  `(` + message + `, 1, 0, 0, '\x01', 0, NULL, NULL, NULL)`,
		"patients and a roster":          `(` + message + `, 1, 0, 0, '\x01', 0, '{}', ` + root + `, '2026-03-01')`,
		"a roster without a day":         `(` + message + `, 1, 0, 0, '\x01', 0, NULL, ` + root + `, NULL)`,
		"a root that is none":            `(` + message + `, 1, 0, 0, '\x01', 0, NULL, '\x0a', '2026-03-01')`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), insert+`(`+message+`, 0, 0, 0, `+full+`, 250, '{}', NULL, NULL), (`+message+`, 0, 1, 1, '\x01', 1, '{}', NULL, NULL),
					(`+message+`, 2, 0, 1, '\x01', 1, NULL, `+root+`, '2026-03-01')`); err != nil {
					t.Fatalf("what can be is refused: %v", err)
				}
				_, err := tx.Exec(t.Context(), insert+row)
				return err
			})
			if !store.RefusedData(err) {
				t.Errorf("%s was not refused: %v", row, err)
			}
		})
	}
}

// The migration carries deliveries of the first format over, as the projection of their
// events would write them. Interrupted, it goes on where it was.
func TestDeliveriesAreCarriedOver(t *testing.T) {
	t.Parallel()
	url := storetest.Empty(t)
	provider, db, err := store.NewProvider(url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := provider.UpTo(t.Context(), 84); err != nil {
		t.Fatal(err)
	}
	pool := storetest.Open(t, url, store.RoleAdmin)
	want := map[string]string{}
	const few = 1003 // messages: more than one transaction
	for i := range few {
		nos := []int32{int32(i%700) + 1} // #nosec G115 -- small
		if i%100 == 0 {                  // gaps, and chunks that begin within a block
			nos = nil
			for no := rand.Int32N(300) + 1; len(nos) < 700; no += 1 + rand.Int32N(3) {
				nos = append(nos, no)
			}
		}
		deliverAsBefore(t, pool, nos, want)
	}
	if _, err := pool.Exec(t.Context(), `
		INSERT INTO record.opens SELECT message_id, portal_user_no, now() FROM record.deliveries WHERE portal_user_no % 3 = 0`); err != nil {
		t.Fatal(err)
	}
	opened := list(t, pool, `SELECT message_id || ' ' || (portal_user_no - 1) / 250 || ' ' || count(*) FROM record.opens GROUP BY message_id, (portal_user_no - 1) / 250 ORDER BY 1`)
	deliveries := list(t, pool, `SELECT message_id || ' ' || portal_user_no || ' ' || chunk FROM record.deliveries ORDER BY 1`)

	if _, err := provider.UpTo(t.Context(), 85); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `
		CREATE FUNCTION public.crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'crashed'; END $$;
		CREATE TRIGGER crash AFTER UPDATE ON record.carried_over FOR EACH ROW
		WHEN (OLD.message_id <> '00000000-0000-0000-0000-000000000000') EXECUTE FUNCTION public.crash()`); err != nil {
		t.Fatal(err)
	}
	if _, err := provider.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "crashed") {
		t.Fatalf("the migration was to be interrupted: %v", err)
	}
	if n := list(t, pool, `SELECT count(DISTINCT message_id)::text FROM record.inbox`); n[0] != "1000" {
		t.Fatalf("%s messages were carried over before the crash", n[0])
	}
	if _, err := pool.Exec(t.Context(), `DROP FUNCTION public.crash() CASCADE`); err != nil {
		t.Fatal(err)
	}
	if _, err := provider.Up(t.Context()); err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(deliveries, list(t, pool, `SELECT message_id || ' ' || portal_user_no || ' ' || chunk FROM record.deliveries ORDER BY 1`)); diff != "" {
		t.Errorf("the deliveries are others (-were +are):\n%s", diff)
	}
	if diff := cmp.Diff(opened, list(t, pool, `SELECT message_id || ' ' || block || ' ' || sum(opened) FROM record.inbox GROUP BY message_id, block HAVING sum(opened) > 0 ORDER BY 1`)); diff != "" {
		t.Errorf("the openings are others (-were +are):\n%s", diff)
	}
	got := map[string]string{}
	for _, line := range list(t, pool, `SELECT concat_ws(' ', message_id, block, part, chunk) || '=' || members::text || ' ' || patients::text FROM record.inbox`) {
		key, value, _ := strings.Cut(line, "=")
		got[key] = value
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the rows are not those of the events (-events +rows):\n%s", diff)
	}
}

// deliverAsBefore writes a message to some portal users as earlier versions did, in chunks of
// 300, and adds the rows of record.inbox that its events give.
func deliverAsBefore(t *testing.T, pool *pgxpool.Pool, nos []int32, want map[string]string) {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	q := &pgx.Batch{}
	q.Queue(`INSERT INTO record.messages (message_id, seq, sender_id, recipients, attachments, subject_digest, body_digest, status, hold, bulk, sent_at, release_at, delivered)
		VALUES ($1, 1, 's', '{}', '[]', '', '', 'sending', 'none', false, now(), now(), $2)`, id, len(nos))
	chunk := 0
	for some := range slices.Chunk(nos, 300) {
		q.Queue(`INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at) VALUES ($1, $2, 1, $3, $4, $5, now())`,
			id, chunk, some[0], some[len(some)-1], len(some))
		body := events.DeliveriesCreated{MessageID: id, Chunk: chunk}
		for _, no := range some {
			to := events.Recipient{PortalUserID: fmt.Sprint("u", no), PortalUserNo: no}
			patients := []int32{}
			for p := range no % 3 {
				patients = append(patients, no*2+p)
				to.Links = append(to.Links, events.Link{PatientID: fmt.Sprint("p", no*2+p), PatientNo: no*2 + p, Relationship: "self"})
			}
			body.Recipients = append(body.Recipients, to)
			q.Queue(`INSERT INTO record.deliveries (message_id, portal_user_no, chunk, patient_nos) VALUES ($1, $2, $3, $4)`, id, no, chunk, patients)
		}
		e, err := events.New("/test", "process:test", time.Now(), body)
		if err != nil {
			t.Fatal(err)
		}
		e.Chunk = &events.ChunkRef{Index: chunk, Of: 3}
		c, err := inboxrows.Of(&e)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range c.Rows {
			patients := strings.ReplaceAll(strings.Trim(fmt.Sprint([]int32(row.Authority)), "[]"), " ", ",")
			want[fmt.Sprint(id, " ", row.Block, " ", row.Part, " ", chunk)] = fmt.Sprintf(`\x%x {%s}`, row.Members.AppendTo(nil), patients)
		}
		chunk++
	}
	if err := pool.SendBatch(t.Context(), q).Close(); err != nil {
		t.Fatal(err)
	}
}
