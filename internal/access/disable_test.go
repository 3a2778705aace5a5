package access

import (
	"errors"
	"net/http"
	"testing"

	"postern/internal/access/policy"

	"github.com/google/go-cmp/cmp"
)

// Disabling ends all sessions and tokens at once, and permanently: they stay ended when the
// account is enabled again.
func TestDisableEndsAllAccessAtOnce(t *testing.T) {
	s := newSite(t)
	boss := s.hire(t, "boss@clinic.example", policy.ManageStaff)
	ada := s.hire(t, "ada@clinic.example", policy.ReadRecord)
	token := s.token(t, ada)
	home, elsewhere := s.browser(t), s.browser(t)
	home.signIn("/staff", ada.Email, good)
	elsewhere.signIn("/staff", ada.Email, good)
	shut := func() {
		t.Helper()
		home.is("/staff", "")
		elsewhere.is("/staff", "")
		s.browser(t).is("/staff", "", "Authorization", "Bearer "+token)
	}
	home.is("/staff", "staff:"+ada.ID)

	if err := s.Disable(t.Context(), boss.subject().Actor(), ada.ID); err != nil {
		t.Fatal(err)
	}
	shut()
	stranger := s.browser(t)
	if status := stranger.signIn("/staff", ada.Email, good); status != http.StatusUnauthorized {
		t.Errorf("signing in: status %d", status)
	}
	if _, _, err := s.CreateToken(t.Context(), operator, ada.ID, NewToken{Name: "x"}); !errors.Is(err, ErrDisabled) {
		t.Errorf("a token: %v", err)
	}
	want := []string{
		`staff.disabled by staff:` + boss.ID + `: {"staff_id":"` + ada.ID + `"}`,
		`token.revoked by staff:` + boss.ID + `: {"staff_id":"` + ada.ID + `","why":"account_disabled"}`,
		`sign_in.failed by process:api: {"account":"staff","id":"` + ada.ID + `","method":"password","reason":"inactive"}`,
	}
	if diff := cmp.Diff(want, s.rec.last(t, 3)); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}

	if err := s.Enable(t.Context(), boss.subject().Actor(), ada.ID); err != nil {
		t.Fatal(err)
	}
	shut()
	stranger.signIn("/staff", ada.Email, good)
	stranger.is("/staff", "staff:"+ada.ID)
	if again, err := s.StaffByID(t.Context(), ada.ID); err != nil || len(again.Permissions) != 1 {
		t.Errorf("after all: %+v, %v", again, err)
	}
}

// The answer for a disabled account is the same as for a wrong password.
func TestADisabledAccountIsAnsweredAsAWrongPassword(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example")
	if err := c.Disable(t.Context(), operator, ada.ID); err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{good, "a guess"} {
		if _, err := c.SignInStaff(t.Context(), Credentials{Email: ada.Email, Password: password}); err != ErrWrongCredentials {
			t.Errorf("with %q: %v", password, err)
		}
	}
}

// A crash between recording the change and ending the sessions leaves no session that works,
// then or later.
func TestACrashWhileDisabling(t *testing.T) {
	s := newSite(t)
	ada := s.hire(t, "ada@clinic.example")
	b := s.browser(t)
	b.signIn("/staff", ada.Email, good)
	s.exec(t, `UPDATE record.staff SET disabled_at = now() WHERE staff_id = $1`, ada.ID)
	if err := s.Enable(t.Context(), operator, ada.ID); err != nil {
		t.Fatal(err)
	}
	b.is("/staff", "")
}

func TestWhoCantBeDisabled(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example", policy.ManageStaff)
	ben := c.hire(t, "ben@clinic.example", policy.ManageStaff)
	for _, test := range []struct {
		name, actor, id string
		want            error
	}{
		{"oneself", ada.subject().Actor(), ada.ID, ErrDisableSelf},
		{"unknown", operator, "unknown", ErrNoStaff},
		{"another", ada.subject().Actor(), ben.ID, nil},
		{"another, once more", ada.subject().Actor(), ben.ID, nil},
		{"the last enabled administrator", operator, ada.ID, ErrLastAdministrator},
	} {
		if err := c.Disable(t.Context(), test.actor, test.id); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	if err := c.Forbid(t.Context(), operator, ada.ID, policy.ManageStaff); !errors.Is(err, ErrLastAdministrator) {
		t.Errorf("a disabled administrator stood in for the last: %v", err)
	}
	want := `staff.disabled by staff:` + ada.ID + `: {"staff_id":"` + ben.ID + `"}`
	if diff := cmp.Diff([]string{want}, c.rec.last(t, 1)); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
}

// Each still sees the other administrator. The second call waits, and then fails because its
// target is the last.
func TestTwoAdministratorsCantDisableEachOtherAtOnce(t *testing.T) {
	c := newClinic(t)
	ada, ben := c.hire(t, "ada@clinic.example", policy.ManageStaff), c.hire(t, "ben@clinic.example", policy.ManageStaff)
	second := make(chan error, 1)
	c.rec.beforeNext(func() {
		go func() { second <- c.Disable(t.Context(), ben.subject().Actor(), ada.ID) }()
	})
	if err := c.Disable(t.Context(), ada.subject().Actor(), ben.ID); err != nil {
		t.Fatal(err)
	}
	if err := <-second; !errors.Is(err, ErrLastAdministrator) {
		t.Errorf("the second: %v", err)
	}
}
