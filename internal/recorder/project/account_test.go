package project

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// The events about the account of a portal user are listed as they are recorded, and those that were
// recorded by an earlier version are listed once, with the same result.
func TestEventsOfAnAccountAreListed(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	conn := recordertest.Connect(t, pool)
	change := uuid.New
	project(t, conn, recordertest.Facts(t,
		events.LinkIssued{Link: change(), Account: "portal_user", ID: "pu-1", Purpose: events.LinkFirst, By: events.LinkByEmail, ExpiresAt: time.Now()},
		events.PasswordSet{Change: change(), Account: "portal_user", ID: "pu-1", How: events.ByLink},
		events.PasswordSet{Change: change(), Account: "staff", ID: "pu-1", How: events.ByLink}, // a staff member with the same id
		events.AddressChanged{Change: change(), PortalUserID: "pu-1"},
		events.SessionsEnded{Change: change(), Account: "portal_user", ID: "pu-2"},
		events.OptOut{Out: true, Change: change(), PortalUserID: "pu-1", PortalUserNo: 1, How: events.OptOutInPortal},
		events.SecondFactor{What: events.FactorAdded, Change: change(), Account: "portal_user", ID: "pu-2", Kind: events.FactorApp},
		events.StaffCreated{StaffID: "s1", Name: "Ada"}), 3)
	want := []string{"pu-1 1", "pu-1 2", "pu-1 4", "pu-1 6", "pu-2 5", "pu-2 7"}
	listed := func() (all []string) {
		t.Helper()
		rows, err := conn.Query(t.Context(), `SELECT portal_user_id, seq FROM record.account_events ORDER BY 1, 2`)
		if err != nil {
			t.Fatal(err)
		}
		var id string
		var seq int
		if _, err := pgx.ForEachRow(rows, []any{&id, &seq}, func() error { all = append(all, fmt.Sprint(id, " ", seq)); return nil }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	if diff := cmp.Diff(want, listed()); diff != "" {
		t.Errorf("as they are recorded (-want +got):\n%s", diff)
	}
	// As an earlier version leaves it, after the migration.
	for _, sql := range []string{`DELETE FROM record.account_events`, `INSERT INTO app.tables_to_fill VALUES ('account_events') ON CONFLICT DO NOTHING`} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, filled := range []int{7, 0} { // the second time there is nothing to do
		owner, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n, err := FillAccountEvents(t.Context(), owner.Conn())
		owner.Release()
		if err != nil || n != filled {
			t.Errorf("%d events were read, want %d: %v", n, filled, err)
		}
		if diff := cmp.Diff(want, listed()); diff != "" {
			t.Errorf("after the fill (-want +got):\n%s", diff)
		}
	}
}
