package access

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/access/oidc"
	"postern/internal/access/passwords"
	"postern/internal/access/policy"

	"github.com/google/go-cmp/cmp"

	"postern/internal/events"
)

const another = "another brook under the bridge"

// A staff member who is added with a link can't sign in before they have set a password
// with it. The record says who made the link and who used it, and contains no address.
func TestAnInvitedStaffMember(t *testing.T) {
	c := newClinic(t)
	noel, token := c.invite(t, "noel@clinic.example")
	noel, err := c.StaffByID(t.Context(), noel.ID)
	if err != nil || c.StateOf(noel) != StaffInvited || !noel.InvitedUntil.Equal(c.clock.now().Add(72*time.Hour).Truncate(time.Microsecond)) {
		t.Errorf("they are %s until %v: %v", c.StateOf(noel), noel.InvitedUntil, err)
	}
	if c.enters(t, noel.Email, good) {
		t.Error("they sign in without a password")
	}
	who, err := c.WhoIsInvited(t.Context(), policy.RealmStaff, token)
	if diff := cmp.Diff(Invited{"Noel Novice", "noel@clinic.example", true}, who); err != nil || diff != "" {
		t.Errorf("the link is of (-want +got):\n%s%v", diff, err)
	}
	if err := c.AcceptInvitation(t.Context(), policy.RealmStaff, token, "short"); !errors.Is(err, passwords.ErrRefused) {
		t.Errorf("a short password: %v", err)
	}
	if err := c.AcceptInvitation(t.Context(), policy.RealmStaff, token, good); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`link.issued by operator:test: {"account":"staff","by":"command_line","id":"` + noel.ID + `","purpose":"first"}`,
		`sign_in.failed by process:api: {"account":"staff","id":"` + noel.ID + `","method":"password","reason":"wrong_password"}`,
		`password.set by staff:` + noel.ID + `: {"account":"staff","how":"link","id":"` + noel.ID + `"}`,
	}
	if diff := cmp.Diff(want, c.rec.last(t, 3)); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
	if noel, err = c.StaffByID(t.Context(), noel.ID); err != nil || c.StateOf(noel) != StaffActive || !noel.HasPassword {
		t.Errorf("they are %s: %v", c.StateOf(noel), err)
	}
	if !c.enters(t, noel.Email, good) {
		t.Error("the chosen password does not sign in")
	}
	if err := c.AcceptInvitation(t.Context(), policy.RealmStaff, token, another); !errors.Is(err, ErrInvitation) {
		t.Errorf("a second time: %v", err)
	}
	if all := c.rec.all(); strings.Contains(all, "clinic.example") || strings.Contains(all, staffLinkPrefix) {
		t.Error("an address or a token is on the record")
	}
}

// The state of an account follows from what is stored, at any time.
func TestStatesOfStaff(t *testing.T) {
	c := newClinic(t)
	noel, token := c.invite(t, "noel@clinic.example")
	is := func(when string, want StaffState) {
		t.Helper()
		staff, err := c.StaffByID(t.Context(), noel.ID)
		if got := c.StateOf(staff); err != nil || got != want {
			t.Errorf("%s: %s, want %s: %v", when, got, want, err)
		}
	}
	is("with a link", StaffInvited)
	c.clock.move(72*time.Hour + time.Second)
	is("after 72 hours", StaffInvitationExpired)
	if err := c.AcceptInvitation(t.Context(), policy.RealmStaff, token, good); !errors.Is(err, ErrInvitation) {
		t.Errorf("the expired link: %v", err)
	}
	c.exec(t, `DELETE FROM app.password_links`)
	is("after a sweep", StaffInvitationExpired)
	token = c.link(t, noel)
	is("with another link", StaffInvited)
	if err := c.Disable(t.Context(), operator, noel.ID); err != nil {
		t.Fatal(err)
	}
	is("disabled", StaffDisabled)
	if err := c.Enable(t.Context(), operator, noel.ID); err != nil {
		t.Fatal(err)
	}
	is("enabled again", StaffInvitationExpired)
	if err := c.AcceptInvitation(t.Context(), policy.RealmStaff, token, good); !errors.Is(err, ErrInvitation) {
		t.Errorf("the link of before: %v", err)
	}
	if _, err := c.SignInByOrganisation(t.Context(), oidc.Identity{Issuer: "https://login.clinic.example", Subject: "1", Email: noel.Email}); err != nil {
		t.Fatal(err)
	}
	is("signed in at the organisation", StaffActive)
	if staff, err := c.CreateStaff(t.Context(), operator, NewStaff{Email: "script@clinic.example", Name: "A script"}); err != nil || c.StateOf(staff) != StaffActive {
		t.Errorf("with API tokens alone: %s, %v", c.StateOf(staff), err)
	}
}

// A link sets the password alone: the second factor stays. It ends all sessions and the
// wait after failed tries. The former password works until then.
func TestAForgottenStaffPassword(t *testing.T) {
	s := newSite(t)
	ada := s.hire(t, "ada@clinic.example")
	b := s.browser(t)
	b.signIn("/staff", ada.Email, good)
	s.exec(t, `INSERT INTO record.second_factors (change_id, realm, subject, kind, added_at) VALUES (gen_random_uuid(), 'staff', $1, 'totp', now())`, ada.ID)
	for range 6 {
		_, _ = s.SignInStaff(t.Context(), Credentials{Email: ada.Email, Password: "a guess"})
	}
	token := s.link(t, ada)
	b.is("/staff", "staff:"+ada.ID)
	if err := s.AcceptInvitation(t.Context(), policy.RealmStaff, token, another); err != nil {
		t.Fatal(err)
	}
	b.is("/staff", "")
	if _, err := s.SignInStaff(t.Context(), Credentials{Email: ada.Email, Password: another}); !errors.As(err, new(CodeNeeded)) {
		t.Errorf("the new password is answered with %v, want a request for the code", err)
	}
	want := []string{
		`link.issued by operator:test: {"account":"staff","by":"command_line","id":"` + ada.ID + `","purpose":"reset"}`,
		`password.set by staff:` + ada.ID + `: {"account":"staff","how":"link","id":"` + ada.ID + `"}`,
	}
	if diff := cmp.Diff(want, s.rec.last(t, 2)); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
}

// A link that must not work names no one and sets nothing, and leaves no event.
func TestStaffLinksThatOpenNothing(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, clinic, Staff, string) string{
		"used": func(t *testing.T, c clinic, _ Staff, token string) string {
			if err := c.AcceptInvitation(t.Context(), policy.RealmStaff, token, good); err != nil {
				t.Fatal(err)
			}
			return token
		},
		"replaced by a newer one": func(t *testing.T, c clinic, noel Staff, token string) string { c.link(t, noel); return token },
		"expired": func(_ *testing.T, c clinic, _ Staff, token string) string {
			c.clock.move(72*time.Hour + time.Second)
			return token
		},
		"of another address": func(t *testing.T, c clinic, noel Staff, token string) string {
			other := "novice@clinic.example"
			if _, err := c.ChangeStaff(t.Context(), operator, noel.ID, StaffChange{Email: &other}); err != nil {
				t.Fatal(err)
			}
			return token
		},
		"of a former version of the address": func(t *testing.T, c clinic, _ Staff, token string) string {
			c.exec(t, `UPDATE app.staff_accounts SET email_version = email_version + 1`)
			return token
		},
		"of a disabled account": func(t *testing.T, c clinic, noel Staff, token string) string {
			if err := c.Disable(t.Context(), operator, noel.ID); err != nil {
				t.Fatal(err)
			}
			return token
		},
		"of a disabled account, before its links were deleted": func(t *testing.T, c clinic, noel Staff, token string) string {
			c.exec(t, `UPDATE record.staff SET disabled_at = now()`)
			return token
		},
		"of a portal user": func(t *testing.T, c clinic, _ Staff, _ string) string {
			c.enrol(t, "pu-1", "noor@home.example", "")
			token, err := c.Invite(t.Context(), operator, "pu-1")
			if err != nil {
				t.Fatal(err)
			}
			return token
		},
		"of a portal user with the same id, in the form of staff": func(t *testing.T, c clinic, noel Staff, _ string) string {
			c.enrol(t, noel.ID, "noor@home.example", "")
			token, err := c.Invite(t.Context(), operator, noel.ID)
			if err != nil {
				t.Fatal(err)
			}
			return staffLinkPrefix + strings.TrimPrefix(token, portalLinkPrefix)
		},
		"never made": func(*testing.T, clinic, Staff, string) string { token, _ := newToken(staffLinkPrefix); return token },
		"rubbish":    func(*testing.T, clinic, Staff, string) string { return "psl_" },
	} {
		t.Run(name, func(t *testing.T) {
			c := newClinic(t)
			noel, token := c.invite(t, "noel@clinic.example")
			token = spoil(t, c, noel, token)
			before := c.rec.count()
			if who, err := c.WhoIsInvited(t.Context(), policy.RealmStaff, token); !errors.Is(err, ErrInvitation) || who.Name != "" {
				t.Errorf("it is of %+v: %v", who, err)
			}
			if err := c.AcceptInvitation(t.Context(), policy.RealmStaff, token, another); !errors.Is(err, ErrInvitation) {
				t.Errorf("it sets a password: %v", err)
			}
			if c.rec.count() != before {
				t.Errorf("the record has %v", c.rec.last(t, c.rec.count()-before))
			}
			if c.enters(t, noel.Email, another) {
				t.Error("the password signs in")
			}
		})
	}
}

// Two who use a link at once: one wins, and both are one event.
func TestOfTwoWhoUseAStaffLinkAtOnceOneWins(t *testing.T) {
	c := newClinic(t)
	noel, token := c.invite(t, "noel@clinic.example")
	// The second begins after the first has read the link, and ends before the first goes on.
	c.rec.beforeNext(func() {
		if err := c.AcceptInvitation(t.Context(), policy.RealmStaff, token, another); err != nil {
			t.Errorf("the second: %v", err)
		}
	})
	if err := c.AcceptInvitation(t.Context(), policy.RealmStaff, token, good); !errors.Is(err, ErrInvitation) {
		t.Errorf("the first: %v", err)
	}
	if c.enters(t, noel.Email, good) || !c.enters(t, noel.Email, another) {
		t.Error("the password is not that of the second")
	}
	if ids := c.rec.ids(events.TypePasswordSet); len(ids) != 2 || ids[0] != ids[1] {
		t.Errorf("they are the events %v", ids)
	}

	token = c.link(t, noel)
	tries := []string{"the first one's password", "the second one's password"}
	results := make([]error, len(tries))
	var both sync.WaitGroup
	for i, password := range tries {
		both.Go(func() { results[i] = c.AcceptInvitation(t.Context(), policy.RealmStaff, token, password) })
	}
	both.Wait()
	for i, err := range results {
		if signedIn := c.enters(t, noel.Email, tries[i]); (err == nil) != signedIn || (err == nil) == (results[1-i] == nil) || err != nil && !errors.Is(err, ErrInvitation) {
			t.Errorf("%q: %v, and signing in: %v", tries[i], err, signedIn)
		}
	}
}

// An account that is disabled, and even enabled again, while its link is being used: the
// link sets nothing.
func TestDisabledWhileALinkIsUsed(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example")
	token := c.link(t, ada)
	c.rec.beforeNext(func() {
		if err := errors.Join(c.Disable(t.Context(), operator, ada.ID), c.Enable(t.Context(), operator, ada.ID)); err != nil {
			t.Error(err)
		}
	})
	if err := c.AcceptInvitation(t.Context(), policy.RealmStaff, token, another); !errors.Is(err, ErrInvitation) {
		t.Errorf("got %v", err)
	}
	if !c.enters(t, ada.Email, good) || c.enters(t, ada.Email, another) {
		t.Error("the password is another")
	}
}

// A crash at each point of a change of a password leaves the former password, and the next
// try takes effect. What was published twice is one event. All ways are the same.
func TestCrashesWhileAPasswordIsSet(t *testing.T) {
	staffOf := func(c clinic) policy.Subject {
		all, err := c.ListStaff(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all[0].subject()
	}
	for way, begin := range map[string]func(*testing.T, clinic) (change func(context.Context) error, enters func(password string) bool){
		"a staff link": func(t *testing.T, c clinic) (func(context.Context) error, func(string) bool) {
			ada := c.hire(t, "ada@clinic.example")
			token := c.link(t, ada)
			return func(ctx context.Context) error { return c.AcceptInvitation(ctx, policy.RealmStaff, token, another) },
				func(password string) bool { return c.enters(t, ada.Email, password) }
		},
		"a staff member's own password": func(t *testing.T, c clinic) (func(context.Context) error, func(string) bool) {
			ada := c.hire(t, "ada@clinic.example")
			return func(ctx context.Context) error { return c.ChangeStaffPassword(ctx, staffOf(c), good, another) },
				func(password string) bool { return c.enters(t, ada.Email, password) }
		},
		"a portal user's link": func(t *testing.T, c clinic) (func(context.Context) error, func(string) bool) {
			c.enrol(t, "pu-1", "noor@home.example", good)
			token, err := c.Invite(t.Context(), operator, "pu-1")
			if err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context) error {
					return c.AcceptInvitation(ctx, policy.RealmPortalUser, token, another)
				},
				func(password string) bool {
					_, err := c.SignInPortal(t.Context(), Credentials{Email: "noor@home.example", Password: password})
					return err == nil
				}
		},
		"a portal user's own password": func(t *testing.T, c clinic) (func(context.Context) error, func(string) bool) {
			c.enrol(t, "pu-1", "noor@home.example", good)
			noor := policy.Subject{Realm: policy.RealmPortalUser, ID: "pu-1"}
			return func(ctx context.Context) error { return c.ChangePortalPassword(ctx, noor, good, another) },
				func(password string) bool {
					_, err := c.SignInPortal(t.Context(), Credentials{Email: "noor@home.example", Password: password})
					return err == nil
				}
		},
	} {
		for crash, arrange := range map[string]struct {
			do     func(clinic, context.CancelFunc)
			events int // of this change, with the second try
		}{
			"before the event is stored": {func(c clinic, _ context.CancelFunc) { c.rec.failNext(errors.New("no stream")) }, 1},
			"after the event is stored":  {func(c clinic, stop context.CancelFunc) { c.rec.beforeNext(stop) }, 2},
		} {
			t.Run(way+", "+crash, func(t *testing.T) {
				c := newClinic(t)
				change, enters := begin(t, c)
				before := len(c.rec.ids(events.TypePasswordSet))
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				arrange.do(c, stop)
				if err := change(ctx); err == nil {
					t.Fatal("nothing went wrong")
				}
				if !enters(good) || enters(another) {
					t.Error("the former password is not the password")
				}
				if err := change(t.Context()); err != nil {
					t.Errorf("the next try: %v", err)
				}
				if enters(good) || !enters(another) {
					t.Error("the new password is not the password")
				}
				ids := c.rec.ids(events.TypePasswordSet)[before:]
				if len(ids) != arrange.events || ids[0] != ids[len(ids)-1] {
					t.Errorf("the change is the events %v", ids)
				}
			})
		}
	}
}

// A link that can't be recorded does not stay: the person who asked gets another at once.
func TestALinkThatIsNotRecorded(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example")
	c.rec.failNext(errors.New("no stream"))
	if made, err := c.InviteStaffAddress(t.Context(), ada.Email); err == nil || len(made) != 0 {
		t.Fatalf("got %v, %v", made, err)
	}
	if n := c.count(t, `SELECT count(*) FROM app.password_links`); n != 0 {
		t.Errorf("%d links stay", n)
	}
	made, err := c.InviteStaffAddress(t.Context(), ada.Email)
	if err != nil || len(made) != 1 {
		t.Fatalf("the next try: %v, %v", made, err)
	}
	want := `link.issued by process:api: {"account":"staff","by":"email","id":"` + ada.ID + `","purpose":"reset"}`
	if diff := cmp.Diff([]string{want}, c.rec.last(t, 1)); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
	if more, err := c.InviteStaffAddress(t.Context(), " ADA@clinic.example "); err != nil || len(more) != 0 {
		t.Errorf("a moment later: %v, %v", more, err)
	}
	c.clock.move(askedAlready)
	if more, err := c.InviteStaffAddress(t.Context(), ada.Email); err != nil || len(more) != 1 {
		t.Errorf("after a while: %v, %v", more, err)
	}
}

// Who gets a link for the asking, and who only from an administrator.
func TestWhoGetsAStaffLink(t *testing.T) {
	c := newClinic(t)
	invited, _ := c.invite(t, "invited@clinic.example")
	script, err := c.CreateStaff(t.Context(), operator, NewStaff{Email: "script@clinic.example", Name: "A script"})
	if err != nil {
		t.Fatal(err)
	}
	disabled := c.hire(t, "disabled@clinic.example")
	if err := c.Disable(t.Context(), operator, disabled.ID); err != nil {
		t.Fatal(err)
	}
	ada := c.hire(t, "ada@clinic.example", policy.ManageStaff)
	c.clock.move(askedAlready)
	for _, test := range []struct {
		who    string
		email  string
		id     string
		asked  int   // links for the asking
		sent   error // by an administrator
		handed error // by an operator
	}{
		{"with a password", ada.Email, ada.ID, 1, ErrOwnLink, nil},
		{"invited", invited.Email, invited.ID, 1, nil, nil},
		{"without a password", script.Email, script.ID, 0, nil, nil},
		{"disabled", disabled.Email, disabled.ID, 0, ErrDisabled, ErrDisabled},
		{"unknown", "unknown@clinic.example", "unknown", 0, ErrNoStaff, ErrNoStaff},
	} {
		if made, err := c.InviteStaffAddress(t.Context(), test.email); err != nil || len(made) != test.asked {
			t.Errorf("%s, for the asking: %d links, %v", test.who, len(made), err)
		}
		if _, err := c.InviteStaffByMail(t.Context(), ada.subject().Actor(), test.id); !errors.Is(err, test.sent) {
			t.Errorf("%s, by an administrator: %v", test.who, err)
		}
		if _, err := c.InviteStaff(t.Context(), operator, test.id); !errors.Is(err, test.handed) {
			t.Errorf("%s, by an operator: %v", test.who, err)
		}
	}
}

// Staff change their own password with the current one. All sessions end.
func TestChangeStaffPassword(t *testing.T) {
	s := newSite(t)
	ada := s.hire(t, "ada@clinic.example")
	b := s.browser(t)
	b.signIn("/staff", ada.Email, good)
	change := func(current, password string) error {
		return s.ChangeStaffPassword(t.Context(), ada.subject(), current, password)
	}
	if err := change("not this one", "short"); !errors.Is(err, passwords.ErrCurrent) || !errors.Is(err, passwords.ErrRefused) {
		t.Errorf("with both wrong: %v", err)
	}
	if err := change("not this one", another); !errors.Is(err, passwords.ErrCurrent) {
		t.Errorf("without the current one: %v", err)
	}
	if err := change(good, "short"); !errors.Is(err, passwords.ErrRefused) {
		t.Errorf("to a short one: %v", err)
	}
	b.is("/staff", "staff:"+ada.ID)
	if err := change(good, another); err != nil {
		t.Fatal(err)
	}
	b.is("/staff", "")
	if s.enters(t, ada.Email, good) || !s.enters(t, ada.Email, another) {
		t.Error("the password is not the new one")
	}
	want := `password.set by staff:` + ada.ID + `: {"account":"staff","how":"current_password","id":"` + ada.ID + `"}`
	if got := s.rec.last(t, 3)[0]; got != want {
		t.Errorf("the record has %s, want %s", got, want)
	}
	for range 5 {
		_ = change("a guess", another)
	}
	if err := change(another, good); !errors.As(err, new(TooSoon)) {
		t.Errorf("after several guesses: %v", err)
	}
	script, err := s.CreateStaff(t.Context(), operator, NewStaff{Email: "script@clinic.example", Name: "A script"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ChangeStaffPassword(t.Context(), script.subject(), "", another); !errors.Is(err, passwords.ErrCurrent) {
		t.Errorf("without a password: %v", err)
	}
}

// Of two changes at once with the same current password, one takes effect, and both are
// one event.
func TestTwoChangesOfAPasswordAtOnce(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example")
	c.rec.beforeNext(func() {
		if err := c.ChangeStaffPassword(t.Context(), ada.subject(), good, another); err != nil {
			t.Errorf("the second: %v", err)
		}
	})
	if err := c.ChangeStaffPassword(t.Context(), ada.subject(), good, "a third brook, farther away"); !errors.Is(err, passwords.ErrCurrent) {
		t.Errorf("the first: %v", err)
	}
	if !c.enters(t, ada.Email, another) {
		t.Error("the password is not that of the second")
	}
	if ids := c.rec.ids(events.TypePasswordSet); len(ids) != 3 || ids[1] != ids[2] || ids[0] == ids[1] {
		t.Errorf("they are the events %v", ids)
	}
}
