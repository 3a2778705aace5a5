package project

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// A type is projected exactly if its descriptor names rows.
func TestTheProjectorIsComplete(t *testing.T) {
	t.Parallel()
	want := events.TypesWhere(func(d events.Descriptor) bool { return d.Rows != nil })
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(projections))); diff != "" {
		t.Errorf("(-registry +projections):\n%s", diff)
	}
}

// Events in earlier versions, published by earlier binaries, give the same rows.
func TestEarlierVersionsProjectTheSame(t *testing.T) {
	t.Parallel()
	m, change := uuid.New(), uuid.New()
	failed := events.AlertException{PortalUserID: "pu-2", PortalUserNo: 2, State: events.AlertFailed, Reason: "no such domain"}
	again := recordertest.OutcomeOf(m, 0, 1, events.AlertAccepted, events.AlertException{PortalUserID: "pu-2", PortalUserNo: 2, State: events.AlertAccepted})
	again.Attempt, again.ReplayID, again.Part = 2, &change, 1
	evs := recordertest.Facts(t,
		events.StaffCreated{StaffID: "s1", Name: "Ada"},
		events.PermissionChanged{Granted: true, Change: change, StaffID: "s1", Permission: "manage_staff"},
		events.PermissionChanged{Granted: true, Change: change, StaffID: "s1", Permission: "read_record"},
		events.PermissionChanged{Change: change, StaffID: "s1", Permission: "read_record"},
		events.SignIn{Attempt: change, Account: "staff", ID: "s1"},
		recordertest.SentTo(m, events.HoldNone, "all_portal_users"), recordertest.Chunk(m, 0, 1, 2, 3), recordertest.OutcomeOf(m, 0, 3, events.AlertAccepted, failed),
		planned(change, 1), events.ReplayStarted{ReplayID: change}, again)
	digestsOf := func(evs []events.Event) map[string]string {
		conn := recordertest.Connect(t, storetest.Pool(t, store.RoleRecorder))
		project(t, conn, evs, 4)
		var parked int
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM events WHERE NOT projected`).Scan(&parked); err != nil || parked != 0 {
			t.Errorf("%d events changed nothing: %v", parked, err)
		}
		all := recordertest.Digests(t, conn)
		delete(all, "events") // the versions are in its leaves
		delete(all, "hashes")
		return all
	}
	want := digestsOf(evs)
	for i, e := range evs {
		evs[i].Version = 1
		if e.Type.IsOutcome() && bytes.Contains(e.Data, []byte("replay_id")) {
			evs[i].Version = 2
		}
	}
	if diff := cmp.Diff(want, digestsOf(evs)); diff != "" {
		t.Errorf("(-last versions +earlier versions):\n%s", diff)
	}
}
