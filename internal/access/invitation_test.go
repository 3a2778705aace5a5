package access

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"postern/internal/access/passwords"
	"postern/internal/access/policy"

	"github.com/google/go-cmp/cmp"
)

// Each portal user with the address gets their own link, once. A second request a moment
// later makes none, and the first link still works.
func TestInviteAddress(t *testing.T) {
	c := newClinic(t)
	c.enrol(t, "pu-1", "family@home.example", good)
	c.enrol(t, "pu-2", "Family@home.example", "")
	c.enrol(t, "pu-3", "family@home.example", "")
	c.enrol(t, "pu-4", "", "")
	c.exec(t, `UPDATE app.portal_users SET active = false WHERE portal_user_id = 'pu-3'`)
	ask := func(email string) []Invitation {
		t.Helper()
		made, err := c.InviteAddress(t.Context(), email)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	made := ask(" FAMILY@home.example ")
	var first []bool
	for _, one := range made {
		first = append(first, one.First)
		who, err := c.WhoIsInvited(t.Context(), policy.RealmPortalUser, one.Token)
		if err != nil || who.First != one.First || who.Email != one.Email {
			t.Errorf("%+v is of %+v: %v", one, who, err)
		}
	}
	if diff := cmp.Diff([]bool{false, true}, first); diff != "" {
		t.Errorf("whether the links set a first password (-want +got):\n%s", diff)
	}
	for _, email := range []string{"family@home.example", "unknown@home.example", "", "a\x00b"} {
		if more := ask(email); len(more) != 0 {
			t.Errorf("%q: %d links", email, len(more))
		}
	}
	if err := c.AcceptInvitation(t.Context(), policy.RealmPortalUser, made[1].Token, "a link that still works"); err != nil {
		t.Error(err)
	}
	c.clock.move(askedAlready)
	if more := ask("family@home.example"); len(more) != 2 || more[1].First {
		t.Errorf("after a while: %+v", more)
	}
	if _, err := c.WhoIsInvited(t.Context(), policy.RealmPortalUser, made[0].Token); !errors.Is(err, ErrInvitation) {
		t.Errorf("the link that was replaced: %v", err)
	}
}

// Staff can replace a link at any time. A call that fails without an address keeps the link.
func TestInviteByMail(t *testing.T) {
	c := newClinic(t)
	c.enrol(t, "pu-1", "noor@home.example", "")
	first, err := c.InviteByMail(t.Context(), operator, "pu-1")
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.InviteByMail(t.Context(), operator, "pu-1")
	if err != nil || second.Token == first.Token || !second.First || second.Email != "noor@home.example" {
		t.Errorf("%+v, %v", second, err)
	}
	c.exec(t, `UPDATE app.portal_users SET email = ''`)
	if _, err := c.InviteByMail(t.Context(), operator, "pu-1"); !errors.Is(err, ErrNoAddress) {
		t.Errorf("without an address: %v", err)
	}
	if who, err := c.WhoIsInvited(t.Context(), policy.RealmPortalUser, second.Token); err != nil || who.Name != "Noor Haddad" {
		t.Errorf("the link before is of %+v: %v", who, err)
	}
	if _, err := c.InviteByMail(t.Context(), operator, "pu-9"); !errors.Is(err, ErrNoPortalUser) {
		t.Errorf("of an unknown portal user: %v", err)
	}
}

// A dead address gets no links. Staff get the reason; a client that requests a link does
// not. A new address of the same portal user gets links again.
func TestNoLinkGoesToADeadAddress(t *testing.T) {
	c := newClinic(t)
	c.enrol(t, "pu-1", "family@home.example", good)
	c.enrol(t, "pu-2", "family@home.example", "")
	before, err := c.InviteByMail(t.Context(), operator, "pu-1")
	if err != nil {
		t.Fatal(err)
	}
	c.exec(t, `INSERT INTO record.dead_addresses (portal_user_no, address_version, since, reason, report_id)
		SELECT portal_user_no, email_version, now(), '550 no such mailbox', 'r1' FROM app.portal_users WHERE portal_user_id = 'pu-1'`)
	c.clock.move(askedAlready)
	if _, err := c.InviteByMail(t.Context(), operator, "pu-1"); !errors.Is(err, ErrDeadAddress) {
		t.Errorf("staff invite: %v", err)
	}
	if known, err := c.PortalAccount(t.Context(), "pu-1"); err != nil || !known.Dead {
		t.Errorf("the account is known as %+v: %v", known, err)
	}
	if made, err := c.InviteAddress(t.Context(), "family@home.example"); err != nil || len(made) != 1 || !made[0].First {
		t.Errorf("asked for: %+v, %v", made, err)
	}
	if _, err := c.WhoIsInvited(t.Context(), policy.RealmPortalUser, before.Token); err != nil {
		t.Errorf("the link before: %v", err)
	}
	if _, err := c.Invite(t.Context(), operator, "pu-1"); err != nil {
		t.Errorf("a link to hand out: %v", err)
	}
	c.exec(t, `UPDATE app.portal_users SET email = 'new@home.example', email_version = email_version + 1 WHERE portal_user_id = 'pu-1'`)
	c.clock.move(25 * time.Hour) // see TestAnImportTakesNoAccountOver
	if made, err := c.InviteByMail(t.Context(), operator, "pu-1"); err != nil || made.Email != "new@home.example" {
		t.Errorf("to another address: %+v, %v", made, err)
	}
}

// Asking is counted by the address alone, whether an account has it or not.
func TestCountAsk(t *testing.T) {
	c := newClinic(t)
	c.enrol(t, "pu-1", "noor@home.example", good)
	for _, email := range []string{"noor@home.example", "unknown@home.example"} {
		var tooSoon TooSoon
		for range 5 {
			if err := c.CountLinkRequest(t.Context(), policy.RealmPortalUser, email); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.CountLinkRequest(t.Context(), policy.RealmPortalUser, email); !errors.As(err, &tooSoon) || tooSoon.After > time.Second {
			t.Errorf("the sixth time: %v", err)
		}
		// Signing in is counted apart.
		if _, err := c.SignInPortal(t.Context(), Credentials{Email: email, Password: "x"}); !errors.Is(err, ErrWrongCredentials) {
			t.Errorf("signing in: %v", err)
		}
	}
}

func TestChangePortalPassword(t *testing.T) {
	s := newSite(t)
	s.enrol(t, "pu-1", "noor@home.example", good)
	b := s.browser(t)
	b.signIn("/portal", "noor@home.example", good)
	noor := policy.Subject{Realm: policy.RealmPortalUser, ID: "pu-1"}
	if err := s.ChangePortalPassword(t.Context(), noor, "not this one", "short"); !errors.Is(err, passwords.ErrCurrent) || !errors.Is(err, passwords.ErrRefused) {
		t.Errorf("with both wrong: %v", err)
	}
	if err := s.ChangePortalPassword(t.Context(), noor, "not this one", "another long one"); !errors.Is(err, passwords.ErrCurrent) {
		t.Errorf("without the current one: %v", err)
	}
	if err := s.ChangePortalPassword(t.Context(), noor, good, "short"); !errors.Is(err, passwords.ErrRefused) {
		t.Errorf("to a short one: %v", err)
	}
	if err := s.ChangePortalPassword(t.Context(), noor, good, "another long one"); err != nil {
		t.Fatal(err)
	}
	b.is("/portal", "")
	if _, err := s.SignInPortal(t.Context(), Credentials{Email: "noor@home.example", Password: "another long one"}); err != nil {
		t.Error(err)
	}
}

// A link stops working when the address that it was made for changes, or the account becomes
// inactive, however it was made. A new link can then be made at once.
func TestALinkDiesWithItsAddress(t *testing.T) {
	c := newClinic(t)
	for i, change := range []string{
		`UPDATE app.portal_users SET email = 'right@home.example', email_version = email_version + 1`,
		`UPDATE app.portal_users SET email = '', email_version = email_version + 1`,
		`UPDATE app.portal_users SET active = false`,
	} {
		for j, make := range []func(id, email string) (string, error){
			func(id, _ string) (string, error) { return c.Invite(t.Context(), operator, id) },
			func(id, _ string) (string, error) {
				made, err := c.InviteByMail(t.Context(), operator, id)
				return made.Token, err
			},
			func(_, email string) (string, error) {
				made, err := c.InviteAddress(t.Context(), email)
				if len(made) != 1 {
					return "", fmt.Errorf("%d links, %w", len(made), err)
				}
				return made[0].Token, err
			},
		} {
			id := fmt.Sprintf("pu-%d-%d", i, j)
			email := id + "@home.example"
			c.enrol(t, id, email, good)
			token, err := make(id, email)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.WhoIsInvited(t.Context(), policy.RealmPortalUser, token); err != nil {
				t.Fatal(err)
			}
			c.exec(t, change+` WHERE portal_user_id = '`+id+`'`)
			if _, err := c.WhoIsInvited(t.Context(), policy.RealmPortalUser, token); !errors.Is(err, ErrInvitation) {
				t.Errorf("%s: the link %d still says whose it is: %v", change, j, err)
			}
			if err := c.AcceptInvitation(t.Context(), policy.RealmPortalUser, token, "another long one"); !errors.Is(err, ErrInvitation) {
				t.Errorf("%s: the link %d still sets a password: %v", change, j, err)
			}
			account, err := c.PortalAccount(t.Context(), id)
			if err != nil || i < 2 && account.InvitedUntil != nil {
				t.Errorf("%s: it is said to be invited until %v: %v", change, account.InvitedUntil, err)
			}
			if i == 0 {
				if err := c.ConfirmAddress(t.Context(), operator, id, account.AddressVersion); err != nil {
					t.Fatal(err)
				}
				if made, err := c.InviteAddress(t.Context(), "right@home.example"); err != nil || len(made) == 0 {
					t.Errorf("the right address gets no link: %v", err)
				}
			}
		}
	}
}
