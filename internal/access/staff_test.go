package access

import (
	"context"
	"errors"
	"strings"
	"testing"

	"postern/internal/access/passwords"
	"postern/internal/access/policy"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/store"
)

func TestCreateStaff(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, " Ada@Clinic.example ", policy.SendPortalMessage, policy.ManageStaff)
	want := []string{
		`staff.created by operator:test: {"name":"Ada Brook","staff_id":"` + ada.ID + `"}`,
		`permission.granted by operator:test: {"permission":"send_portal_message","staff_id":"` + ada.ID + `"}`,
		`permission.granted by operator:test: {"permission":"manage_staff","staff_id":"` + ada.ID + `"}`,
		`password.set by operator:test: {"account":"staff","how":"command_line","id":"` + ada.ID + `"}`,
	}
	if diff := cmp.Diff(want, c.rec.last(t, 9)); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
	if strings.Contains(strings.ToLower(c.rec.all()), "clinic.example") {
		t.Error("the address is on the record")
	}
	if diff := cmp.Diff([]policy.Permission{policy.ManageStaff, policy.SendPortalMessage}, ada.Permissions); diff != "" {
		t.Errorf("permissions (-want +got):\n%s", diff)
	}
	byEmail, err := c.StaffByEmail(t.Context(), "ADA@clinic.example")
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.ListStaff(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]Staff{"by e-mail": {byEmail}, "list": list} {
		if diff := cmp.Diff([]Staff{ada}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}

	_, err = c.CreateStaff(t.Context(), operator, NewStaff{Email: "ada@CLINIC.example", Name: "Another Ada"})
	if !errors.Is(err, ErrStaffExists) || c.rec.count() != len(want) {
		t.Errorf("a second time: %v, %d events", err, c.rec.count())
	}
}

func TestCreateStaffRefusesBeforeAnythingIsWritten(t *testing.T) {
	c := newClinic(t)
	for name, test := range map[string]struct {
		new  NewStaff
		want error
	}{
		"no address":         {NewStaff{Name: "Ada"}, ErrEmail},
		"not an address":     {NewStaff{Name: "Ada", Email: "ada"}, ErrEmail},
		"a name and address": {NewStaff{Name: "Ada", Email: "Ada <ada@clinic.example>"}, ErrEmail},
		"two addresses":      {NewStaff{Name: "Ada", Email: "a@b.example, c@d.example"}, ErrEmail},
		"a domain of none":   {NewStaff{Name: "Ada", Email: "ada@-clinic.example"}, ErrEmail},
		"no name":            {NewStaff{Name: " ", Email: "ada@clinic.example"}, ErrName},
		"a hidden character": {NewStaff{Name: "Ada\u202eB", Email: "ada@clinic.example"}, ErrName},
		"a long name":        {NewStaff{Name: strings.Repeat("a", 201), Email: "ada@clinic.example"}, ErrName},
		"a short password":   {NewStaff{Name: "Ada", Email: "ada@clinic.example", Password: "short"}, passwords.ErrRefused},
	} {
		_, err := c.CreateStaff(t.Context(), operator, test.new)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
	_, err := c.CreateStaff(t.Context(), operator, NewStaff{Name: "Ada", Email: "ada@clinic.example", Permissions: []policy.Permission{"fly"}})
	if err == nil || !strings.Contains(err.Error(), "manage_staff") {
		t.Errorf("an unknown permission: %v", err)
	}
	if n := c.count(t, `SELECT count(*) FROM app.staff_accounts`) + c.rec.count(); n != 0 {
		t.Errorf("%d accounts and events were left", n)
	}
}

// An address is kept clean, and found again however it is typed.
func TestAnAddressOfStaffIsKeptClean(t *testing.T) {
	c := newClinic(t)
	made := c.hire(t, "\u202aAda@münchen.example\u00a0")
	if made.Email != "Ada@xn--mnchen-3ya.example" {
		t.Errorf("it is %q", made.Email)
	}
	for _, typed := range []string{"ada@münchen.example", " ADA@XN--MNCHEN-3YA.example", "ada@mün\u00adchen.example\u200b"} {
		if found, err := c.StaffByEmail(t.Context(), typed); err != nil || found.ID != made.ID {
			t.Errorf("%q: %v", typed, err)
		}
	}
	// An address from before there was a rule is found as it is stored.
	c.exec(t, `UPDATE app.staff_accounts SET email = 'Ada@münchen.example'`)
	if _, err := c.StaffByEmail(t.Context(), "ada@münchen.example"); err != nil {
		t.Error(err)
	}
}

// The account is written before the event. Until the event is recorded, the account can't
// sign in. A retry finishes the creation with the same id.
func TestCreateStaffGoesOnWhereItStopped(t *testing.T) {
	c := newClinic(t)
	c.rec.failNext(errors.New("no stream"))
	_, err := c.CreateStaff(t.Context(), operator, NewStaff{Email: "ada@clinic.example", Name: "Ada", Password: "the first password"})
	if err == nil {
		t.Fatal("a staff member was created without a record")
	}
	var id string
	if err := c.admin.QueryRow(t.Context(), `SELECT staff_id FROM app.staff_accounts`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	if _, err := c.StaffByID(t.Context(), id); !errors.Is(err, ErrNoStaff) {
		t.Errorf("by id: %v", err)
	}
	_, err = c.SignInStaff(t.Context(), Credentials{Email: "ada@clinic.example", Password: "the first password"})
	if !errors.Is(err, ErrWrongCredentials) {
		t.Errorf("signing in: %v", err)
	}

	if ada := c.hire(t, "ADA@clinic.example", policy.SendPortalMessage); ada.ID != id || ada.Email != "ADA@clinic.example" {
		t.Errorf("got %+v, want id %s", ada, id)
	}
	if _, err = c.SignInStaff(t.Context(), Credentials{Email: "ada@clinic.example", Password: good}); err != nil {
		t.Errorf("signing in with the password of the repeat: %v", err)
	}
}

// A recorded staff member without an account, as after losing schema app, is not found.
func TestStaffNeedBothARecordAndAnAccount(t *testing.T) {
	c := newClinic(t)
	c.exec(t, `INSERT INTO record.staff (staff_id, name, created_at) VALUES ('s-1', 'Ada', now())`)
	if _, err := c.StaffByID(t.Context(), "s-1"); !errors.Is(err, ErrNoStaff) {
		t.Errorf("got %v", err)
	}
	if _, err := c.StaffByID(t.Context(), "s\x00"); !errors.Is(err, ErrNoStaff) {
		t.Errorf("an id that is no text: %v", err)
	}
}

func TestPermissionsChangeOnTheRecord(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example", policy.SendPortalMessage)
	change := func(change func() error, events int, want ...policy.Permission) {
		t.Helper()
		before := c.rec.count()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		staff, err := c.StaffByID(t.Context(), ada.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, staff.Permissions); diff != "" {
			t.Errorf("permissions (-want +got):\n%s", diff)
		}
		if got := c.rec.count() - before; got != events {
			t.Errorf("%d events, want %d", got, events)
		}
	}
	change(func() error {
		return c.Permit(t.Context(), "staff:boss", ada.ID, policy.ReplayDeliveries, policy.SendPortalMessage, policy.ReplayDeliveries)
	}, 1, policy.ReplayDeliveries, policy.SendPortalMessage)
	change(func() error { return c.Permit(t.Context(), "staff:boss", ada.ID, policy.ReplayDeliveries) }, 0, policy.ReplayDeliveries, policy.SendPortalMessage)
	change(func() error {
		return c.Forbid(t.Context(), "staff:boss", ada.ID, policy.ReplayDeliveries, policy.ManageLabels)
	}, 1, policy.SendPortalMessage)
	change(func() error {
		return c.SetPermissions(t.Context(), "staff:boss", ada.ID, policy.ReplayDeliveries, policy.ManageLabels)
	}, 3, policy.ManageLabels, policy.ReplayDeliveries)
	want := []string{
		`permission.granted by staff:boss: {"permission":"manage_labels","staff_id":"` + ada.ID + `"}`,
		`permission.granted by staff:boss: {"permission":"replay_deliveries","staff_id":"` + ada.ID + `"}`,
		`permission.revoked by staff:boss: {"permission":"send_portal_message","staff_id":"` + ada.ID + `"}`,
	}
	if diff := cmp.Diff(want, c.rec.last(t, 3)); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
	if err := c.Permit(t.Context(), operator, "unknown", policy.ReplayDeliveries); !errors.Is(err, ErrNoStaff) {
		t.Errorf("of unknown staff: %v", err)
	}
	if err := c.Permit(t.Context(), operator, ada.ID, "fly"); err == nil {
		t.Error("an unknown permission was given")
	}
}

// A change that was based on outdated permissions changes nothing.
func TestReconsiderWhatWasSeen(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example", policy.SendPortalMessage)
	before := c.rec.count()
	for _, seen := range [][]policy.Permission{nil, {policy.ReadRecord}, {policy.SendPortalMessage, policy.ReadRecord}} {
		if err := c.SetPermissionsIfUnchanged(t.Context(), operator, ada.ID, seen, []policy.Permission{policy.ManageLabels}); !errors.Is(err, ErrPermissionsChanged) || c.rec.count() != before {
			t.Errorf("having seen %v: %v, %d events more", seen, err, c.rec.count()-before)
		}
	}
	if err := c.SetPermissionsIfUnchanged(t.Context(), operator, ada.ID, []policy.Permission{policy.SendPortalMessage}, []policy.Permission{policy.ManageLabels}); err != nil || c.rec.count() != before+2 {
		t.Errorf("having seen what is held: %v, %d events more", err, c.rec.count()-before)
	}
}

func TestTheLastAdministratorStays(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example", policy.ManageStaff, policy.ReadRecord)
	events := c.rec.count()
	for name, err := range map[string]error{
		"Forbid":         c.Forbid(t.Context(), ada.Name, ada.ID, policy.ManageStaff),
		"SetPermissions": c.SetPermissions(t.Context(), ada.Name, ada.ID),
	} {
		if !errors.Is(err, ErrLastAdministrator) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c.rec.count() != events {
		t.Error("a refused change is on the record")
	}
	if err := c.Forbid(t.Context(), operator, ada.ID, policy.ReadRecord); err != nil {
		t.Errorf("another permission: %v", err)
	}
}

// All errors are reported at once.
func TestNewStaffCheck(t *testing.T) {
	err := NewStaff{Email: "nowhere", Permissions: []policy.Permission{"fly"}, Password: "short"}.Check()
	for _, one := range []error{ErrName, ErrEmail, passwords.ErrRefused} {
		if !errors.Is(err, one) {
			t.Errorf("%v is not among %v", one, err)
		}
	}
	if !strings.Contains(err.Error(), "fly") {
		t.Errorf("the permission is not in %v", err)
	}
	if err := (NewStaff{Email: " ada@clinic.example ", Name: " Ada "}).Check(); err != nil {
		t.Error(err)
	}
}

// While Ada's permission is being taken but not yet recorded, another call takes Ben's and
// still sees Ada's. It waits, and then fails because Ben's is the last.
func TestTwoAdministratorsCantTakeEachOthersAtOnce(t *testing.T) {
	c := newClinic(t)
	ada, ben := c.hire(t, "ada@clinic.example", policy.ManageStaff), c.hire(t, "ben@clinic.example", policy.ManageStaff)
	second := make(chan error, 1)
	c.rec.beforeNext(func() {
		err := store.TryAlone(t.Context(), c.pool, store.LeasePermissions, func(*pgxpool.Conn, func(context.Context) error) error { return nil })
		if !errors.Is(err, store.ErrLeaseTaken) {
			t.Errorf("another change could begin before the first was recorded: %v", err)
		}
		go func() { second <- c.Forbid(t.Context(), operator, ben.ID, policy.ManageStaff) }()
	})
	if err := c.Forbid(t.Context(), operator, ada.ID, policy.ManageStaff); err != nil {
		t.Fatal(err)
	}
	if err := <-second; !errors.Is(err, ErrLastAdministrator) {
		t.Errorf("the second: %v", err)
	}
	// The lock is free again.
	if err := c.Permit(t.Context(), operator, ada.ID, policy.ManageStaff); err != nil {
		t.Error(err)
	}
}
