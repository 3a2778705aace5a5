package up

import (
	"testing"
	"time"

	"github.com/google/uuid"

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
