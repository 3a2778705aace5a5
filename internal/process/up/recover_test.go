package up

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/content"
	"postern/internal/directory/block"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/eventlog/eventlogtest"
	"postern/internal/events"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// An empty database that is prepared for a stream, also repeatedly, gives no number that the
// lost one may have given: an audience may be frozen with numbers that no delivery has yet.
// Alerts without an outcome are marked to be settled.
func TestALostDatabaseGivesNoNumberTwice(t *testing.T) {
	t.Parallel()
	log := eventlogtest.Start(t)
	message := uuid.New()
	e, err := events.New("/test", "process:test", time.Now(), events.DeliveriesCreated{MessageID: message, Recipients: []events.Recipient{
		{PortalUserID: "bo", PortalUserNo: 40, Links: []events.Link{{PatientID: "pt", PatientNo: 70, Relationship: "self"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	e.Chunk = &events.ChunkRef{Index: 0, Of: 1}
	last, err := log.Publish(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	pool := storetest.Pool(t, store.RoleAdmin)
	number := func(sql, id string) (no int) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), sql, id).Scan(&no); err != nil {
			t.Fatal(err)
		}
		return no
	}
	before := 0
	for _, id := range []string{"new", "newer"} {
		if err := RestoreNumbers(t.Context(), log, pool, nil); err != nil {
			t.Fatal(err)
		}
		if user := number(`SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = $1`, "bo"); user != 40 {
			t.Errorf("bo has number %d", user)
		}
		user := number(`INSERT INTO app.portal_users (portal_user_id, name, active) VALUES ($1, '', true) RETURNING portal_user_no`, id)
		patient := number(`INSERT INTO app.patients (patient_id, status) VALUES ($1, 'active') RETURNING patient_no`, id)
		if user < 1_000_000 || patient < 1_000_000 || user <= before {
			t.Errorf("%s has number %d, and the patient %d", id, user, patient)
		}
		before = user
	}
	var upTo uint64
	var settled bool
	err = pool.QueryRow(t.Context(), `SELECT last, settled_at IS NOT NULL FROM app.timelines WHERE timeline = app.timeline() AND cause = 'lost'`).Scan(&upTo, &settled)
	if err != nil || settled || upTo != last {
		t.Errorf("alerts up to event %d are to be settled (settled is %v), want %d, %v", upTo, settled, last, err)
	}
}

// People whom events name by a roster keep their numbers, because the content store has it too.
// Without it, their numbers are not given again.
func TestALostDatabaseGetsItsRostersBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := content.CreateKeyFile(filepath.Join(dir, "key")); err != nil {
		t.Fatal(err)
	}
	kept, err := content.Open(t.Context(), filepath.Join(dir, "content"), filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kept.Close() })
	const no = 5_000_040 // beyond what an empty database skips
	of, place := block.Of(no)
	r, err := roster.Make(of, []roster.Person{{No: no, ID: "bo", Active: true, Links: []roster.Link{{PatientNo: 70, PatientID: "pt", Self: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	rosters := rosterstore.New(rosterstore.Config{Pool: storetest.Pool(t, store.RoleAdmin), Content: kept}) // of the database that is lost
	roots, err := rosters.Put(t.Context(), []roster.Roster{r})
	if err == nil {
		err = rosters.Keep(t.Context(), roots)
	}
	if err == nil {
		_, err = rosters.KeepState(t.Context(), roster.State{{Block: of, Root: roots[0]}})
	}
	if err != nil {
		t.Fatal(err)
	}
	inBlock := events.CitedBlock{No: of, Roster: roots[0]}
	inBlock.Members.Add(place)
	e, err := events.New("/test", "process:test", time.Now(), events.DeliveriesByBlock{MessageID: uuid.New(), Day: time.Now(), Groups: []string{"all_portal_users"},
		Selection: events.Selection{}.Digest(), Blocks: []events.CitedBlock{inBlock}, Nonce: events.NewNonce()})
	if err != nil {
		t.Fatal(err)
	}
	e.Chunk = &events.ChunkRef{Index: 0, Of: 1}
	log := eventlogtest.Start(t)
	if _, err := log.Publish(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	// Rosters are copied again once the content store is given up.
	copied := func() (n int) {
		if err := rosters.Pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM app.rosters WHERE kept IS NOT NULL) + (SELECT count(*) FROM app.directory_states WHERE copied)`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := Accept(t.Context(), rosters.Pool, "operator:test", []Part{Archive}); err != nil || copied() != 2 {
		t.Errorf("%d of a roster and a state are copied (%v)", copied(), err)
	}
	if err := Accept(t.Context(), rosters.Pool, "operator:test", []Part{Content}); err != nil || copied() != 0 {
		t.Errorf("%d of a roster and a state are copied to a store that was given up (%v)", copied(), err)
	}
	for name, from := range map[string]*content.Store{"restored": kept, "lost": nil} {
		pool := storetest.Pool(t, store.RoleAdmin)
		for range 2 {
			if err := RestoreNumbers(t.Context(), log, pool, from); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		var bo, next, states int
		if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM app.directory_states`).Scan(&states); err != nil || (states == 1) != (from != nil) {
			t.Errorf("%s: %d states of the directory (%v)", name, states, err)
		}
		if err := pool.QueryRow(t.Context(), `WITH new AS (INSERT INTO app.portal_users (portal_user_id, name, active) VALUES ('new', '', true) RETURNING portal_user_no)
			SELECT (SELECT count(*) FROM app.portal_users WHERE portal_user_no = $1 AND portal_user_id = 'bo'), portal_user_no FROM new`, no).Scan(&bo, &next); err != nil {
			t.Fatal(err)
		}
		if known := from != nil; known != (bo == 1) || next <= no {
			t.Errorf("%s: bo is known by the number: %d; the next number is %d", name, bo, next)
		}
	}
}
