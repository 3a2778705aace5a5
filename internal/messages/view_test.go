package messages

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"postern/internal/directory"
	"postern/internal/events"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// The deliveries of every page, file and total are those of the view record.delivery_status
// that match the filter and the name.
func TestPagesSayWhatTheViewSays(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	const users = 1100 // of five blocks
	if _, err := pool.Exec(t.Context(), `
		INSERT INTO app.portal_users (active, portal_user_id, name)
		SELECT true, 'pu-' || i, CASE i % 10 WHEN 0 THEN 'Zoe Rare' ELSE 'Ada Common' END FROM generate_series(1, $1) i`, users); err != nil {
		t.Fatal(err)
	}
	if _, err := directory.FoldNames(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	rd := New(pool)
	rapid.Check(t, func(rt *rapid.T) {
		s, asEvents := anySent(users).Draw(rt, "message"), rapid.Bool().Draw(rt, "parts as events give them")
		if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return s.write(t.Context(), tx, asEvents) }); err != nil {
			rt.Fatal(err)
		}
		all, err := view(t.Context(), pool, s.id)
		if err != nil || len(all) != len(s.recipients) {
			rt.Fatalf("the view has %d deliveries, %v, want %d", len(all), err, len(s.recipients))
		}
		m := Message{ID: s.id, Progress: progress(all)}
		for range 5 {
			f, name := filters.Draw(rt, "filter"), rapid.SampledFrom([]string{"", "rare", "ada", "none", "'"}).Draw(rt, "name")
			after, limit := rapid.Int32Range(-1, users+1).Draw(rt, "after"), rapid.IntRange(1, users).Draw(rt, "limit")
			var want []Delivery
			for _, d := range all {
				if f.chooses(d) && (name == "" || strings.Contains(strings.ToLower(d.Name), name)) {
					want = append(want, d)
				}
			}
			same := func(what string, got []Delivery, err error) {
				rt.Helper()
				if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
					rt.Fatalf("%s: %v (-view +page):\n%s", what, err, diff)
				}
			}
			total, err := rd.Total(t.Context(), m, f, name)
			if err != nil || total != (Total{Count: len(want)}) {
				rt.Fatalf("the total is %+v, %v, want %d", total, err, len(want))
			}
			var got []Delivery
			err = rd.EachRecipient(t.Context(), m, f, name, func(batch []Delivery) error { got = append(got, batch...); return nil })
			same("the file", got, err)

			const some = 3
			want = slices.DeleteFunc(want, func(d Delivery) bool { return d.PortalUserNo <= after })
			want = want[:min(some*limit, len(want))]
			got, err = pages(t.Context(), rd, m, f, name, after, limit, some)
			same("the pages", got, err)
			if name == "" {
				want = want[:min(limit, len(want))]
				got, err = rd.Deliveries(t.Context(), s.id, f, after, limit)
				same("the first page", got, err)
			}
		}
	})
}

// pages returns what the first n pages after a number have.
func pages(ctx context.Context, rd *Reader, m Message, f Filter, name string, after int32, limit, n int) (all []Delivery, err error) {
	for range n {
		r, err := rd.Recipients(ctx, m, f, name, after, limit)
		if all = append(all, r.Deliveries...); err != nil || r.Next == 0 {
			return all, err
		}
		after = r.Next
	}
	return all, nil
}

var filters = rapid.Custom(func(t *rapid.T) (f Filter) {
	f.Alert = rapid.SampledFrom([]events.AlertState{"", events.AlertPending, events.AlertAccepted, events.AlertFailed, events.AlertSkipped, events.AlertUnknown}).Draw(t, "alert")
	if f.Alert != "" {
		f.Reason = rapid.SampledFrom([]string{"", "", "x", "y"}).Draw(t, "reason")
	}
	f.Opened = rapid.Ptr(rapid.Bool(), true).Draw(t, "opened")
	return f
})

// chooses is the filter without any search.
func (f Filter) chooses(d Delivery) bool {
	return (f.Alert == "" || d.AlertState == string(f.Alert)) && (f.Reason == "" || d.AlertReason == f.Reason) &&
		(f.Opened == nil || *f.Opened == (d.OpenedAt != nil))
}

func progress(all []Delivery) (p Progress) {
	p.Delivered = len(all)
	for _, d := range all {
		if d.OpenedAt != nil {
			p.Opened++
		}
		if n := map[events.AlertState]*int{events.AlertAccepted: &p.Alerted, events.AlertFailed: &p.AlertFailed,
			events.AlertSkipped: &p.AlertSkipped, events.AlertUnknown: &p.AlertUnknown}[events.AlertState(d.AlertState)]; n != nil {
			*n++
		}
	}
	return p
}

// sent is a message as a recorder may leave it. The rows are of the tables of the same names.
type sent struct {
	id                        uuid.UUID
	recipients, chunkOf       []int32
	chunks, exceptions, opens [][]any
}

// anySent draws a message to some of the portal users from 1 to n, many or few. Its chunks begin
// anywhere in a block.
func anySent(n int32) *rapid.Generator[sent] {
	return rapid.Custom(func(t *rapid.T) sent {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		some := func(what string) func() bool {
			percent := rapid.SampledFrom([]int{0, 1, 10, 50, 99, 100}).Draw(t, "percent "+what)
			return func() bool { return random.IntN(100) < percent }
		}
		received, opened, excepted := some("recipients"), some("opened"), some("exceptions")
		begins := rapid.SliceOfN(rapid.Int32Range(1, n), 0, 6).Draw(t, "chunks begin at")
		alertIn := func(state string) []any {
			at := &[]time.Time{time.Date(2026, 1, 2, 3, 4, 5, random.IntN(1000)*1000, time.UTC)}[0]
			if state == string(events.AlertPending) {
				at = nil
			}
			return []any{state, []string{"", "x", "y"}[random.IntN(3)], random.IntN(4), at}
		}
		s := sent{id: uuid.New()}
		first := true // of its chunk
		for no := int32(1); no <= n; no++ {
			if first = first || slices.Contains(begins, no); !received() {
				continue
			}
			if first {
				state := []string{"pending", "accepted", "failed", "skipped", "unknown"}[random.IntN(5)]
				s.chunks = append(s.chunks, append([]any{s.id, len(s.chunks), 1, no, no, 0, time.Date(2026, 1, 2, 3, 4, len(s.chunks), 0, time.UTC)}, alertIn(state)...))
				first = false
			}
			chunk := len(s.chunks) - 1
			s.chunks[chunk][4], s.chunks[chunk][5] = no, s.chunks[chunk][5].(int)+1
			s.recipients, s.chunkOf = append(s.recipients, no), append(s.chunkOf, int32(chunk)) // #nosec G115 -- small
			if excepted() {
				state := []string{"accepted", "failed", "skipped", "unknown"}[random.IntN(4)]
				s.exceptions = append(s.exceptions, append([]any{s.id, no, chunk}, alertIn(state)...))
			}
			if opened() {
				s.opens = append(s.opens, []any{s.id, no, time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)})
			}
		}
		return s
	})
}

// write writes the rows. asEvents gives the first row of each chunk the part that its event does.
func (s sent) write(ctx context.Context, tx pgx.Tx, asEvents bool) error {
	if _, err := tx.Exec(ctx, recordertest.Delivered(`SELECT $1::uuid, no, chunk, '{}'::integer[] FROM unnest($2::integer[], $3::integer[]) AS d (no, chunk)`),
		s.id, s.recipients, s.chunkOf); err != nil {
		return err
	}
	for table, rows := range map[string]struct {
		columns []string
		rows    [][]any
	}{
		"chunks": {[]string{"message_id", "chunk", "seq", "first_no", "last_no", "deliveries", "delivered_at",
			"alert_state", "alert_reason", "alert_attempt", "alert_at"}, s.chunks},
		"alert_exceptions": {[]string{"message_id", "portal_user_no", "chunk", "state", "reason", "attempt", "at"}, s.exceptions},
		"opens":            {[]string{"message_id", "portal_user_no", "opened_at"}, s.opens},
	} {
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"record", table}, rows.columns, pgx.CopyFromRows(rows.rows)); err != nil {
			return err
		}
	}
	if asEvents {
		if _, err := tx.Exec(ctx, `
			UPDATE record.inbox i SET part = i.chunk FROM record.chunks c
			WHERE i.message_id = $1 AND c.message_id = $1 AND c.chunk = i.chunk AND i.block = record.block_of(c.first_no)`, s.id); err != nil {
			return err
		}
	}
	return countOpens(ctx, tx, s.id)
}

// view reads the deliveries of a message from record.delivery_status, in order of number.
func view(ctx context.Context, pool *pgxpool.Pool, message uuid.UUID) ([]Delivery, error) {
	rows, err := pool.Query(ctx, `
		SELECT portal_user_no, portal_user_id, name, delivered_at, alert_state, alert_reason, alert_at,
		       greatest(alert_attempts - (alert_state = 'skipped')::integer, 0), opened_at
		FROM record.delivery_status JOIN app.portal_users USING (portal_user_no) WHERE message_id = $1 ORDER BY portal_user_no`, message)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Delivery, error) {
		d, err := pgx.RowToStructByPos[Delivery](row)
		d.DeliveredAt, d.AlertAt, d.OpenedAt = d.DeliveredAt.UTC(), utc(d.AlertAt), utc(d.OpenedAt)
		d.ReadableAt = &d.DeliveredAt // no alert here was skipped because of a missing address
		return d, err
	})
}
