package audiences_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/directory/audience"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/rosterstore/rosterstoretest"
	"postern/internal/directory/source/sourcetest"
	"postern/internal/events"
	"postern/internal/proof/verify/audiences"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// BenchmarkRest freezes a message to few portal users and evaluates it again, on one state of the
// directory. The targets with a million portal users: as long as a pass for the first message,
// 50 ms for one of another day, and a millisecond for one of the same day.
//
//	go test ./internal/proof/verify/audiences -run '^$' -bench Rest -benchtime 5x -directory.rows 1000000
func BenchmarkRest(b *testing.B) {
	pool := storetest.Pool(b, store.RoleAdmin)
	for _, fill := range []string{
		`INSERT INTO app.portal_users (portal_user_id, name, email, active) SELECT gen_random_uuid()::text, 'N', 'n@example.test', true FROM generate_series(1, $1)`,
		`INSERT INTO app.patients (patient_id, status) SELECT gen_random_uuid()::text, CASE i WHEN 1 THEN 'discharged' ELSE 'active' END FROM generate_series(1, $1) i`,
		`INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT i, i, 'self' FROM generate_series(1, $1) i`,
	} {
		if _, err := pool.Exec(b.Context(), fill, *sourcetest.Rows); err != nil {
			b.Fatal(err)
		}
	}
	rosters := rosterstoretest.New(b, pool)
	if _, err := rosters.Pass(b.Context()); err != nil {
		b.Fatal(err)
	}
	group := audience.Selection{Groups: []audience.Group{audience.DischargedPatients}}
	var frozen *audience.Audience
	var state roster.Digest
	step := func(name string, do func() error) {
		least := time.Hour
		for range b.N {
			start := time.Now()
			if err := do(); err != nil {
				b.Fatal(err)
			}
			least = min(least, time.Since(start))
			if name == "first" || name == "first_state" {
				break
			}
		}
		b.ReportMetric(float64(least.Microseconds())/1000, name+"_ms")
	}
	step("freeze", func() (err error) { frozen, err = audience.Freeze(b.Context(), rosters, group, noon); return err })
	step("first_state", func() (err error) { state, err = rosters.KeepState(b.Context(), frozen.Directory); return err })
	step("state", func() error { _, err := rosters.KeepState(b.Context(), frozen.Directory); return err })
	check := audiences.New(audiences.Config{Pool: pool, Content: rosters.Content, Fault: func(_ uint64, what string) { b.Error(what) }, Missing: func(_ uint64, what string) { b.Error(what) }})
	day := noon
	message := func() error {
		sent := events.MessageSent{MessageID: uuid.New(), Recipients: events.Selection{Groups: []string{"discharged_patients"}}}
		m := audiences.To(sent)
		var err error
		for i, body := range []events.Body{events.AudienceResolved{MessageID: sent.MessageID, Chunks: 1, Directory: state.Name(), Day: day.Format(time.DateOnly)},
			events.DeliveriesByBlock{MessageID: sent.MessageID, Day: day, Groups: sent.Recipients.Groups, Selection: sent.SelectionDigest(),
				Blocks: []events.CitedBlock{{No: 0, Roster: frozen.Blocks[0].Root, Members: frozen.Blocks[0].Members}}}} {
			var e events.Event
			if e, err = events.New("/test", "process:test", noon, body); err != nil {
				return err
			}
			e.Chunk = &events.ChunkRef{Index: 0, Of: 1}
			if err := check.Event(b.Context(), uint64(2+i), e, m); err != nil { // #nosec G115 -- small
				return err
			}
		}
		if err == nil {
			err = check.Evaluate(b.Context())
		}
		return err
	}
	step("first", message)
	step("same_day", message)
	step("other_day", func() error { day = day.AddDate(0, 0, 1); return message() })
}
