package query

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// inInbox is one delivery, as the record has it.
type inInbox struct {
	message  uuid.UUID
	to       int32
	patients []int32
}

// newest orders deliveries by message and portal user, the newest first.
func newest(x, y inInbox) int {
	return delivery{message: x.message, to: person{no: x.to}}.compare(delivery{message: y.message, to: person{no: y.to}})
}

// representatives fills the tables with two portal users in one block, 3 and 4, and one in
// another, 300, who are or were linked to the patients 3, 4 and 9. Patient 9 has few of their
// deliveries.
func representatives(t testing.TB, pool *pgxpool.Pool, messages int) (all []inInbox) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var ids []uuid.UUID
	var nos, chunks []int32
	var patients []string
	for n := range messages {
		id := uuid.MustParse(fmt.Sprintf("01900000-0000-7000-8000-%012d", n))
		for _, no := range []int32{3, 4, 300} {
			of := []int32{}
			for _, p := range []int32{3, 4, 9} {
				if random.IntN(4) < 1 && (p != 9 || random.IntN(8) < 1) {
					of = append(of, p)
				}
			}
			if random.IntN(3) == 0 {
				continue
			}
			all = append(all, inInbox{id, no, of})
			ids, nos, chunks = append(ids, id), append(nos, no), append(chunks, no/250)
			patients = append(patients, "{"+fmt.Sprint(of)[1:len(fmt.Sprint(of))-1]+"}")
		}
	}
	_, err := pool.Exec(t.Context(), `
		INSERT INTO app.portal_users (active, portal_user_id, name) SELECT true, 'pu-' || i, '' FROM generate_series(1, 300) i`)
	if err == nil {
		_, err = pool.Exec(t.Context(), `INSERT INTO app.patients (status, patient_id) SELECT 'active', 'pt-' || i FROM generate_series(1, 9) i`)
	}
	if err == nil {
		_, err = pool.Exec(t.Context(), `INSERT INTO app.links (portal_user_no, patient_no, relationship, valid_until)
			SELECT u, p, 'representative', '2020-01-01' FROM unnest('{3, 4, 300}'::integer[]) u, unnest('{3, 4, 9}'::integer[]) p`)
	}
	if err == nil {
		_, err = pool.Exec(t.Context(), recordertest.Delivered(`SELECT id, no, chunk, translate(patients, ' ', ',')::integer[]
			FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::text[]) AS d (id, no, chunk, patients)`), ids, nos, chunks, patients)
	}
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, newest)
	return all
}

// The deliveries of a portal user, on a patient's account and of a message are exactly those
// of the record, in pages of all lengths, also if few of many deliveries are selected.
func TestDeliveriesAreThoseOfTheRecord(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	all := representatives(t, pool, 450)
	for name, c := range map[string]struct {
		filter  Filter
		selects func(inInbox) bool
	}{
		"a portal user":               {Filter{PortalUserID: "pu-4"}, func(d inInbox) bool { return d.to == 4 }},
		"a portal user without any":   {Filter{PortalUserID: "pu-5"}, func(inInbox) bool { return false }},
		"no portal user":              {Filter{PortalUserID: "zoe"}, func(inInbox) bool { return false }},
		"a patient":                   {Filter{PatientID: "pt-4"}, func(d inInbox) bool { return slices.Contains(d.patients, 4) }},
		"a patient with few":          {Filter{PatientID: "pt-9"}, func(d inInbox) bool { return slices.Contains(d.patients, 9) }},
		"a patient with no link":      {Filter{PatientID: "pt-5"}, func(inInbox) bool { return false }},
		"a patient and a portal user": {Filter{PatientID: "pt-9", PortalUserID: "pu-300"}, func(d inInbox) bool { return d.to == 300 && slices.Contains(d.patients, 9) }},
		"a message and a patient":     {Filter{PatientID: "pt-3", MessageID: all[77].message}, func(d inInbox) bool { return d.message == all[77].message && slices.Contains(d.patients, 3) }},
		"a message and a portal user": {Filter{PortalUserID: "pu-3", MessageID: all[77].message}, func(d inInbox) bool { return d.message == all[77].message && d.to == 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			want := []DisclosureCursor{}
			for _, d := range all {
				if c.selects(d) {
					want = append(want, DisclosureCursor{d.message, d.to})
				}
			}
			whole, err := c.filter.allDeliveries(t.Context(), pool)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, cursors(t, whole)); diff != "" {
				t.Errorf("all (-want +got):\n%s", diff)
			}
			for _, limit := range []int{1, 7, 100, 1000} {
				got := []DisclosureCursor{}
				for before := (DisclosureCursor{MessageID: uuid.Max}); ; before = got[len(got)-1] {
					page, err := c.filter.deliveries(t.Context(), pool, before, limit)
					if err != nil {
						t.Fatal(err)
					}
					if got = append(got, cursors(t, page)...); len(page) < limit {
						break
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("in pages of %d (-want +got):\n%s", limit, diff)
				}
			}
		})
	}
}

func cursors(t *testing.T, of []delivery) []DisclosureCursor {
	t.Helper()
	all := []DisclosureCursor{}
	for _, d := range of {
		all = append(all, DisclosureCursor{d.message, d.to.no})
		if d.to.id != fmt.Sprint("pu-", d.to.no) || d.chunk != d.to.no/250 {
			t.Errorf("a delivery is %+v", d)
		}
	}
	return all
}
