package access

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"postern/internal/access/policy"

	"github.com/alexedwards/argon2id"
	"github.com/google/go-cmp/cmp"
)

func TestStaffSignIn(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example", policy.ReadRecord)
	robot, err := c.CreateStaff(t.Context(), operator, NewStaff{Email: "robot@clinic.example", Name: "Nightly export"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, email, password string
		want                  error
		event                 string
	}{
		{"as created", "ada@clinic.example", good, nil,
			`signed_in by staff:` + ada.ID + `: {"account":"staff","id":"` + ada.ID + `","method":"password"}`},
		{"in other case, with spaces", " ADA@clinic.example ", good, nil,
			`signed_in by staff:` + ada.ID + `: {"account":"staff","id":"` + ada.ID + `","method":"password"}`},
		{"with characters that can't be seen", "\u200bada@clinic.example\u00a0", good, nil,
			`signed_in by staff:` + ada.ID + `: {"account":"staff","id":"` + ada.ID + `","method":"password"}`},
		{"with a wrong password", "ada@clinic.example", "wrong", ErrWrongCredentials,
			`sign_in.failed by process:api: {"account":"staff","id":"` + ada.ID + `","method":"password","reason":"wrong_password"}`},
		{"without one", "ada@clinic.example", "", ErrWrongCredentials,
			`sign_in.failed by process:api: {"account":"staff","id":"` + ada.ID + `","method":"password","reason":"wrong_password"}`},
		{"of an account without one", "robot@clinic.example", "", ErrWrongCredentials,
			`sign_in.failed by process:api: {"account":"staff","id":"` + robot.ID + `","method":"password","reason":"wrong_password"}`},
		{"of an unknown address", "unknown@clinic.example", good, ErrWrongCredentials,
			`sign_in.failed by process:api: {"account":"staff","id":"","method":"password","reason":"no_account"}`},
		{"with an address that is no text", "ada@\x00clinic.example", good, ErrWrongCredentials,
			`sign_in.failed by process:api: {"account":"staff","id":"","method":"password","reason":"no_account"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			subject, err := c.SignInStaff(t.Context(), Credentials{Email: test.email, Password: test.password})
			if err != test.want || (subject.ID == ada.ID) != (test.want == nil) {
				t.Errorf("got %+v, %v, want %v", subject, err, test.want)
			}
			if diff := cmp.Diff([]string{test.event}, c.rec.last(t, 1)); diff != "" {
				t.Errorf("the record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPortalSignIn(t *testing.T) {
	c := newClinic(t)
	c.enrol(t, "pu-1", "family@home.example", "the mother's password")
	c.enrol(t, "pu-2", "Family@home.example", "the daughter's own")
	c.enrol(t, "pu-3", "family@home.example", "the moved-out son's")
	c.enrol(t, "pu-4", "family@home.example", "") // never invited
	c.enrol(t, "pu-5", "alone@home.example", "an address of its own")
	c.enrol(t, "pu-6", "former@home.example", "has no address at all")
	c.exec(t, `UPDATE app.portal_users SET email = '' WHERE portal_user_id = 'pu-6'`)
	c.exec(t, `UPDATE app.portal_users SET active = false WHERE portal_user_id = 'pu-3'`)
	for _, test := range []struct {
		name, email, password string
		who, reason           string // reason "": signed in
	}{
		{"one of a family", "family@home.example", "the mother's password", "pu-1", ""},
		{"another", "family@home.example", "the daughter's own", "pu-2", ""},
		{"inactive", "family@home.example", "the moved-out son's", "pu-3", "inactive"},
		{"one of the family, unknown which", "family@home.example", "a guess", "", "wrong_password"},
		{"the only one", "alone@home.example", "a guess", "pu-5", "wrong_password"},
		{"without an address", "", "has no address at all", "", "no_account"},
		{"staff are elsewhere", "ada@clinic.example", good, "", "no_account"},
	} {
		t.Run(test.name, func(t *testing.T) {
			subject, err := c.SignInPortal(t.Context(), Credentials{Email: test.email, Password: test.password})
			event := fmt.Sprintf(`signed_in by portal_user:%s: {"account":"portal_user","id":"%s","method":"password"}`, test.who, test.who)
			if test.reason == "" {
				if err != nil || subject.ID != test.who || subject.No == 0 || subject.Name != "Noor Haddad" || policy.Allow(subject, policy.ReadInbox) != nil {
					t.Errorf("got %+v, %v", subject, err)
				}
			} else {
				event = fmt.Sprintf(`sign_in.failed by process:api: {"account":"portal_user","id":"%s","method":"password","reason":"%s"}`, test.who, test.reason)
				if err != ErrWrongCredentials || subject.Realm != "" {
					t.Errorf("got %+v, %v", subject, err)
				}
			}
			if diff := cmp.Diff([]string{event}, c.rec.last(t, 1)); diff != "" {
				t.Errorf("the record (-want +got):\n%s", diff)
			}
		})
	}
}

// An import can give two accounts with the same password the same address. Then neither can
// sign in and read the other's messages.
func TestAnAmbiguousPasswordSignsInNoAccount(t *testing.T) {
	c := newClinic(t)
	c.enrol(t, "pu-1", "one@home.example", "we both chose this")
	c.enrol(t, "pu-2", "two@home.example", "we both chose this")
	c.exec(t, `UPDATE app.portal_users SET email = 'one@home.example'`)
	_, err := c.SignInPortal(t.Context(), Credentials{Email: "one@home.example", Password: "we both chose this"})
	if err != ErrWrongCredentials {
		t.Errorf("got %v", err)
	}
	want := []string{`sign_in.failed by process:api: {"account":"portal_user","id":"","method":"password","reason":"ambiguous"}`}
	if diff := cmp.Diff(want, c.rec.last(t, 1)); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
}

// The number of password checks shows in the time, so it is the same for no account, one
// account and a family.
func TestPasswordsAreCheckedInRounds(t *testing.T) {
	for n, want := range map[int]int{0: 4, 1: 4, 4: 4, 5: 8, 12: 12} {
		if got := portalAccounts.checks(n); got != want {
			t.Errorf("portal, %d accounts: %d checks, want %d", n, got, want)
		}
	}
	for n, want := range map[int]int{0: 1, 1: 1} {
		if got := staffAccounts.checks(n); got != want {
			t.Errorf("staff, %d accounts: %d checks, want %d", n, got, want)
		}
	}
}

func TestASignInThatCantBeRecordedFails(t *testing.T) {
	c := newClinic(t)
	c.hire(t, "ada@clinic.example")
	down := errors.New("no stream")
	c.rec.failNext(down)
	if subject, err := c.SignInStaff(t.Context(), Credentials{Email: "ada@clinic.example", Password: good}); !errors.Is(err, down) || subject.Realm != "" {
		t.Errorf("got %+v, %v", subject, err)
	}
}

func TestFormerHashesAreRenewedAtSignIn(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example")
	c.enrol(t, "pu-1", "noor@home.example", good)
	former, err := argon2id.CreateHash(good, &argon2id.Params{Memory: 1024, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	c.exec(t, `UPDATE app.staff_accounts SET password_hash = $1`, former)
	c.exec(t, `UPDATE app.portal_accounts SET password_hash = $1`, former)
	for range 2 { // with the former hash, and with the new one
		if _, err := c.SignInStaff(t.Context(), Credentials{Email: ada.Email, Password: good}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.SignInPortal(t.Context(), Credentials{Email: "noor@home.example", Password: good}); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.count(t, `SELECT (SELECT count(*) FROM app.staff_accounts WHERE password_hash = $1) + (SELECT count(*) FROM app.portal_accounts WHERE password_hash = $1)`, former); n != 0 {
		t.Errorf("%d former hashes are left", n)
	}
}

// Guessing gets slower and slower, for unknown addresses too, and never so slow that the
// right password is locked out permanently.
func TestFailuresSlowGuessingDown(t *testing.T) {
	c := newClinic(t)
	c.hire(t, "ada@clinic.example")
	for _, email := range []string{"unknown@clinic.example", "ada@clinic.example"} {
		var waits []time.Duration
		for range 17 {
			for {
				before := c.rec.count()
				_, err := c.SignInStaff(t.Context(), Credentials{Email: email, Password: "a guess"})
				if errors.Is(err, ErrWrongCredentials) {
					waits = append(waits, 0)
					break
				}
				soon := TooSoon{}
				if !errors.As(err, &soon) || c.rec.count() != before {
					t.Fatalf("got %v, and %d events", err, c.rec.count()-before)
				}
				waits[len(waits)-1] = soon.After.Round(time.Second)
				c.clock.move(soon.After)
			}
		}
		want := []time.Duration{0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 0}
		for i := range want {
			want[i] *= time.Second
		}
		if diff := cmp.Diff(want, waits); diff != "" {
			t.Errorf("waits after each failure (-want +got):\n%s", diff)
		}
	}

	// The right password has to wait too, and then the count is cleared.
	right := Credentials{Email: "Ada@clinic.example", Password: good}
	soon := TooSoon{}
	if _, err := c.SignInStaff(t.Context(), right); !errors.As(err, &soon) {
		t.Fatalf("got %v", err)
	}
	c.clock.move(soon.After)
	if _, err := c.SignInStaff(t.Context(), right); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if _, err := c.SignInStaff(t.Context(), Credentials{Email: right.Email, Password: "a guess"}); !errors.Is(err, ErrWrongCredentials) {
			t.Errorf("after a success: %v", err)
		}
	}
}

// Concurrent guesses are counted one by one: no more of them are checked than of guesses in a
// row.
func TestGuessesAtOnceAreCountedToo(t *testing.T) {
	c := newClinic(t)
	c.hire(t, "ada@clinic.example")
	var all sync.WaitGroup
	results := make([]error, 20)
	for i := range results {
		all.Go(func() {
			_, results[i] = c.SignInStaff(t.Context(), Credentials{Email: "ada@clinic.example", Password: "a guess"})
		})
	}
	all.Wait()
	read := 0
	for _, err := range results {
		if errors.Is(err, ErrWrongCredentials) {
			read++
		} else if !errors.As(err, new(TooSoon)) {
			t.Error(err)
		}
	}
	if read != 5 {
		t.Errorf("%d guesses were read, want 5", read)
	}
}
