package access

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/passwords"
	"postern/internal/inbound"
	"postern/internal/limits"
)

const chosen = "grandmother keeps bees"

func (c clinic) letter(t *testing.T, id string) Letter {
	t.Helper()
	made, err := c.MakeLetter(t.Context(), operator, id, NewPrint())
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func typed(l Letter) LetterCode { return LetterCode{l.UserName, l.Code} }

// A portal user without an e-mail address gets in with a letter, once, and signs in with the user
// name and the password from then on. Both are read in any case, with or without hyphens. The record
// has who made the letter, and neither the name nor the code.
func TestAWayInByLetter(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.enrol(t, "pu-1", "", "")
	made := c.letter(t, "pu-1")
	if len(made.UserName) != 9 || len(made.Code) != 19 || !made.First || made.ExpiresAt.Sub(c.clock.now()).Round(time.Minute) != time.Duration(limits.LetterCode)*24*time.Hour {
		t.Errorf("%+v", made)
	}
	if known, err := c.PortalAccount(t.Context(), "pu-1"); err != nil || known.UserName != made.UserName || known.LetterUntil == nil || known.InvitedUntil != nil {
		t.Errorf("%+v, %v", known, err)
	}
	who, err := c.WhoHasLetter(t.Context(), LetterCode{strings.ToUpper(made.UserName), strings.ReplaceAll(made.Code, "-", " ")})
	if err != nil || who.Name != "Noor Haddad" || who.Email != made.UserName || !who.First {
		t.Errorf("%+v, %v", who, err)
	}
	if err := c.AcceptLetter(t.Context(), typed(made), "short"); !errors.Is(err, passwords.ErrRefused) {
		t.Errorf("a short password: %v", err)
	}
	if err := c.AcceptLetter(t.Context(), typed(made), chosen); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{made.UserName, strings.ToUpper(made.UserName), strings.ReplaceAll(made.UserName, "-", "")} {
		if who, err := c.SignInPortal(t.Context(), Credentials{Email: name, Password: chosen}); err != nil || who.ID != "pu-1" {
			t.Errorf("%q: %+v, %v", name, who, err)
		}
	}
	for _, secret := range []string{made.Code, strings.ReplaceAll(made.Code, "-", ""), made.UserName, strings.ReplaceAll(made.UserName, "-", "")} {
		if strings.Contains(c.rec.all(), secret) {
			t.Errorf("the record has %s", secret)
		}
	}
	// The user name stays when an e-mail address comes.
	c.exec(t, `UPDATE app.portal_users SET email = 'noor@home.example', email_version = email_version + 1`)
	for _, name := range []string{made.UserName, "noor@home.example"} {
		if _, err := c.SignInPortal(t.Context(), Credentials{Email: name, Password: chosen}); err != nil {
			t.Errorf("%q with an address: %v", name, err)
		}
	}
	if again := func() error { _, err := c.MakeLetter(t.Context(), operator, "pu-1", NewPrint()); return err }(); !errors.Is(again, ErrHasAddress) {
		t.Errorf("a letter for a person with an address: %v", again)
	}
}

// What can't be used is refused in one way: the answer does not say what is wrong. A letter that is
// refused sets no password.
func TestLettersThatAreRefused(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	for _, id := range []string{"used", "old", "newer", "inactive", "address", "other", "link", "set"} {
		c.enrol(t, id, "", "")
	}
	other := c.letter(t, "other")
	for name, spoil := range map[string]func(Letter) LetterCode{
		"used": func(l Letter) LetterCode {
			if err := c.AcceptLetter(t.Context(), typed(l), chosen); err != nil {
				t.Error(err)
			}
			return typed(l)
		},
		"newer": func(l Letter) LetterCode { c.letter(t, "newer"); return typed(l) },
		"inactive": func(l Letter) LetterCode {
			c.exec(t, `UPDATE app.portal_users SET active = false WHERE portal_user_id = 'inactive'`)
			return typed(l)
		},
		"address": func(l Letter) LetterCode {
			c.exec(t, `UPDATE app.portal_users SET email = 'a@home.example', email_version = email_version + 1 WHERE portal_user_id = 'address'`)
			return typed(l)
		},
		"other": func(Letter) LetterCode { return LetterCode{c.letter(t, "link").UserName, other.Code} }, // of another person
		"link": func(l Letter) LetterCode {
			if _, err := c.Invite(t.Context(), operator, "link"); err != nil {
				t.Error(err)
			}
			return typed(l)
		},
		"set": func(l Letter) LetterCode {
			if err := c.SetPortalPassword(t.Context(), operator, "set", "another password"); err != nil {
				t.Error(err)
			}
			return typed(l)
		},
	} {
		spoiled := spoil(c.letter(t, name))
		if _, err := c.WhoHasLetter(t.Context(), spoiled); !errors.Is(err, ErrLetterCode) {
			t.Errorf("%s: who has it: %v", name, err)
		}
		if err := c.AcceptLetter(t.Context(), spoiled, "not this password"); !errors.Is(err, ErrLetterCode) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.SignInPortal(t.Context(), Credentials{Email: spoiled.UserName, Password: "not this password"}); err == nil {
			t.Errorf("%s: a refused letter set the password", name)
		}
	}
	old := c.letter(t, "old")
	c.clock.move(letterLifetime + time.Second)
	for name, code := range map[string]LetterCode{
		"too old": typed(old), "nothing": {}, "no such name": {"bbbb-bbbb", other.Code}, "a short code": {old.UserName, "bbbb"}, "no text": {"a\x00b", "a\x00b"},
	} {
		if _, err := c.WhoHasLetter(t.Context(), code); !errors.Is(err, ErrLetterCode) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Guesses are slowed down for a user name that exists as for one that does not, and each costs the
// hash of a code. They don't delay another network.
func TestGuessingTheCodeOfALetter(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.enrol(t, "pu-1", "", "")
	made := c.letter(t, "pu-1")
	from := func(address string) (ctx context.Context) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr = address + ":4000"
		inbound.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ctx = context.WithoutCancel(r.Context()) }), nil,
			slog.New(slog.DiscardHandler)).Handler.ServeHTTP(httptest.NewRecorder(), r)
		return ctx
	}
	for _, name := range []string{made.UserName, "bbbb-bbbb"} {
		wrong := 0
		for range 20 {
			_, err := c.WhoHasLetter(from("192.0.2.1"), LetterCode{name, "bbbb-bbbb-bbbb-bbbb"})
			if errors.As(err, new(TooSoon)) {
				break
			}
			if wrong++; !errors.Is(err, ErrLetterCode) {
				t.Fatal(err)
			}
		}
		if wrong != 5 {
			t.Errorf("%s: %d guesses before a delay", name, wrong)
		}
		if _, err := c.SignInPortal(from("192.0.2.1"), Credentials{Email: name, Password: "guess"}); !errors.As(err, new(TooSoon)) {
			t.Errorf("%s: guesses at the password are counted apart: %v", name, err)
		}
	}
	if _, err := c.WhoHasLetter(from("198.51.100.1"), typed(made)); err != nil {
		t.Errorf("the person: %v", err)
	}
}

// One print makes one letter for a person, also when its form is sent again after the letter was
// used. Those of a print that can't have one are named, and the others get theirs.
func TestAPrintMakesALetterOnce(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.enrol(t, "pu-1", "", "")
	c.enrol(t, "pu-2", "has@home.example", "")
	print := NewPrint()
	made, refused, err := c.MakeLetters(t.Context(), operator, []string{"pu-1", "pu-2", "pu-9"}, print)
	if err != nil || len(made) != 1 || !errors.Is(refused["pu-2"], ErrHasAddress) || !errors.Is(refused["pu-9"], ErrNoPortalUser) {
		t.Fatalf("%+v, %v, %v", made, refused, err)
	}
	again := func() {
		t.Helper()
		if _, err := c.MakeLetter(t.Context(), operator, "pu-1", print); !errors.Is(err, ErrLetterMade) {
			t.Errorf("the form is sent again: %v", err)
		}
	}
	again()
	if err := c.AcceptLetter(t.Context(), typed(made[0]), chosen); err != nil {
		t.Errorf("the letter does not work any more: %v", err)
	}
	again()
	if reset := c.letter(t, "pu-1"); reset.First || reset.UserName != made[0].UserName {
		t.Errorf("for a new password: %+v", reset)
	}
	if _, err := c.SignInPortal(t.Context(), Credentials{Email: made[0].UserName, Password: chosen}); err != nil {
		t.Errorf("a letter that is not used ends the password: %v", err)
	}
	if _, _, err := c.MakeLetters(t.Context(), operator, make([]string, limits.Letters+1), Print{uuid.New()}); err == nil {
		t.Error("too many letters are made at once")
	}
}

// A letter whose event is not stored has no effect, and the next one does.
func TestALetterThatIsNotRecorded(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.enrol(t, "pu-1", "", "")
	c.rec.failNext(errors.New("the record is away"))
	if _, err := c.MakeLetter(t.Context(), operator, "pu-1", NewPrint()); err == nil {
		t.Error("a letter was made without its event")
	}
	if known, err := c.PortalAccount(t.Context(), "pu-1"); err != nil || known.LetterUntil != nil {
		t.Errorf("%+v, %v", known, err)
	}
	c.letter(t, "pu-1")
}
