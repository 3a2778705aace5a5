package access

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestAnInvitationSetsAPasswordOnce(t *testing.T) {
	c := newClinic(t)
	c.enrol(t, "pu-1", "noor@home.example", "")
	token, err := c.Invite(t.Context(), operator, "pu-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AcceptInvitation(t.Context(), policy.RealmPortalUser, token, "short"); !errors.Is(err, passwords.ErrRefused) {
		t.Errorf("a short password: %v", err)
	}
	// It was refused, so the link still works.
	if err := c.AcceptInvitation(t.Context(), policy.RealmPortalUser, token, good); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SignInPortal(t.Context(), Credentials{Email: "noor@home.example", Password: good}); err != nil {
		t.Error(err)
	}
	if err := c.AcceptInvitation(t.Context(), policy.RealmPortalUser, token, "another long one"); !errors.Is(err, ErrInvitation) {
		t.Errorf("a second time: %v", err)
	}
	if n := c.count(t, `SELECT count(*) FROM app.password_links WHERE purpose = 'first' AND used_at IS NOT NULL`); n != 1 {
		t.Errorf("%d used invitations", n)
	}
}

func TestAResetEndsTheWaitAndTheSessions(t *testing.T) {
	s := newSite(t)
	s.enrol(t, "pu-1", "noor@home.example", "the forgotten one")
	b := s.browser(t)
	b.signIn("/portal", "noor@home.example", "the forgotten one")
	for range 6 {
		_, _ = s.SignInPortal(t.Context(), Credentials{Email: "noor@home.example", Password: "a guess"})
	}
	token, err := s.Invite(t.Context(), operator, "pu-1")
	if err != nil {
		t.Fatal(err)
	}
	if n := s.count(t, `SELECT count(*) FROM app.password_links WHERE purpose = 'reset'`); n != 1 {
		t.Errorf("%d resets", n)
	}
	if err := s.AcceptInvitation(t.Context(), policy.RealmPortalUser, token, good); err != nil {
		t.Fatal(err)
	}
	b.is("/portal", "")
	if _, err := s.SignInPortal(t.Context(), Credentials{Email: "noor@home.example", Password: good}); err != nil {
		t.Error(err)
	}
}

func TestInvitationsThatOpenNothing(t *testing.T) {
	c := newClinic(t)
	c.enrol(t, "pu-1", "noor@home.example", "")
	invite := func() string {
		t.Helper()
		token, err := c.Invite(t.Context(), operator, "pu-1")
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	refused := func(what, token string) {
		t.Helper()
		if err := c.AcceptInvitation(t.Context(), policy.RealmPortalUser, token, good); !errors.Is(err, ErrInvitation) {
			t.Errorf("%s: %v", what, err)
		}
	}
	replaced := invite()
	newest := invite()
	never, _ := newToken(portalLinkPrefix)
	refused("replaced by a newer one", replaced)
	refused("never made", never)
	refused("rubbish", "pil_")

	c.exec(t, `UPDATE app.portal_users SET active = false`)
	refused("of an inactive account", newest)
	if _, err := c.Invite(t.Context(), operator, "pu-1"); !errors.Is(err, ErrNoPortalUser) {
		t.Errorf("inviting an inactive account: %v", err)
	}
	c.exec(t, `UPDATE app.portal_users SET active = true`)
	c.clock.move(7*24*time.Hour + time.Second)
	refused("expired", newest)
	if n := c.count(t, `SELECT count(*) FROM app.portal_accounts`); n != 0 {
		t.Errorf("%d accounts came about", n)
	}
}

func TestOfTwoWhoUseALinkAtOnceOneWins(t *testing.T) {
	c := newClinic(t)
	c.enrol(t, "pu-1", "noor@home.example", "")
	token, err := c.Invite(t.Context(), operator, "pu-1")
	if err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	passwords := []string{"the first one's password", "the second one's password"}
	results := make([]error, len(passwords))
	for i, password := range passwords {
		both.Go(func() { results[i] = c.AcceptInvitation(t.Context(), policy.RealmPortalUser, token, password) })
	}
	both.Wait()
	won := 0
	for i, err := range results {
		_, signedIn := c.SignInPortal(t.Context(), Credentials{Email: "noor@home.example", Password: passwords[i]})
		if (err == nil) != (signedIn == nil) || (err != nil && !errors.Is(err, ErrInvitation)) {
			t.Errorf("%q: %v, and signing in: %v", passwords[i], err, signedIn)
		}
		if err == nil {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}
}

func TestSetPortalPassword(t *testing.T) {
	c := newClinic(t)
	c.enrol(t, "pu-1", "family@home.example", good)
	c.enrol(t, "pu-2", "Family@home.example", "")
	c.enrol(t, "pu-3", "", "")
	c.enrol(t, "pu-4", "gone@home.example", "")
	c.exec(t, `UPDATE app.portal_users SET active = false WHERE portal_user_id = 'pu-4'`)
	for _, test := range []struct {
		name, id, password string
		want               error
	}{
		{"one's own again", "pu-1", good, nil},
		{"the other's at the same address", "pu-2", good, passwords.ErrRefused},
		{"another", "pu-2", "ten chars!", nil},
		{"nine characters", "pu-2", "ninechars", passwords.ErrRefused},
		{"without an address", "pu-3", good, ErrNoAddress},
		{"inactive", "pu-4", good, ErrNoPortalUser},
		{"inactive, more exactly", "pu-4", good, ErrInactive},
		{"unknown", "pu-9", good, ErrNoPortalUser},
		{"an id that is no text", "pu\x00", good, ErrNoPortalUser},
	} {
		if err := c.SetPortalPassword(t.Context(), operator, test.id, test.password); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
		if errors.Is(test.want, passwords.ErrRefused) {
			continue
		}
		if _, err := c.Invite(t.Context(), operator, test.id); !errors.Is(err, test.want) {
			t.Errorf("inviting %s: got %v, want %v", test.name, err, test.want)
		}
	}
}

// Passwords, tokens and sessions are the API's alone.
func TestOtherProcessesReadNothingOfThis(t *testing.T) {
	url := storetest.New(t)
	for _, role := range []store.Role{store.RoleFanout, store.RoleNotify, store.RoleRecorder} {
		pool := storetest.Open(t, url, role)
		for _, table := range []string{"staff_accounts", "staff_tokens", "portal_accounts", "password_links", "sessions", "sign_in_tries"} {
			column := ""
			if role == store.RoleNotify && table == "portal_accounts" {
				column = "password_hash" // it reads the language of the recipients of alerts, and no more: see TestWhatEachRoleMayDo
			}
			if _, err := pool.Exec(t.Context(), `SELECT `+column+` FROM app.`+table); err == nil {
				t.Errorf("%s reads app.%s", role, table)
			}
		}
	}
	if _, err := storetest.Open(t, url, store.RoleAPI).Exec(t.Context(), `INSERT INTO record.staff_permissions VALUES ('s', 'manage_staff', now(), 's')`); err == nil {
		t.Error("the API gives permissions past the record")
	}
}

// As many accounts of one address get a password as can sign in by it, and each of them
// does.
func TestManyAccountsOfOneAddress(t *testing.T) {
	c := newClinic(t)
	password := func(i int) string { return "the password of number " + strconv.Itoa(i) }
	for i := range mostSharing + 1 {
		c.enrol(t, "pu-"+strconv.Itoa(i), "home@family.example", "")
	}
	for i := range mostSharing {
		if err := c.SetPortalPassword(t.Context(), operator, "pu-"+strconv.Itoa(i), password(i)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Sharing(t.Context(), "pu-"+strconv.Itoa(i)); err != nil || n != i {
			t.Errorf("number %d shares with %d, %v", i, n, err)
		}
	}
	last := "pu-" + strconv.Itoa(mostSharing)
	if err := c.SetPortalPassword(t.Context(), operator, last, password(mostSharing)); !errors.Is(err, ErrCrowded) {
		t.Errorf("of one too many: %v", err)
	}
	if _, err := c.Invite(t.Context(), operator, last); !errors.Is(err, ErrCrowded) {
		t.Errorf("inviting one too many: %v", err)
	}
	for _, i := range []int{0, mostSharing - 1} {
		if who, err := c.SignInPortal(t.Context(), Credentials{Email: "home@family.example", Password: password(i)}); err != nil || who.ID != "pu-"+strconv.Itoa(i) {
			t.Errorf("number %d signs in as %s, %v", i, who.ID, err)
		}
	}
}
