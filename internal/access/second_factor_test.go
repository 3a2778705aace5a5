package access

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/access/passwords"
	"postern/internal/access/policy"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/pquerna/otp/totp"
)

// A phone has the secret of a second factor, and a clock.
type phone struct {
	t      *testing.T
	secret string
	clock  *clock
}

// code is what the phone shows, so many steps from now.
func (p phone) code(steps int) string {
	p.t.Helper()
	code, err := totp.GenerateCode(p.secret, p.clock.now().Add(time.Duration(steps)*stepLength))
	if err != nil {
		p.t.Fatal(err)
	}
	return code
}

// equip sets up a second factor for a staff member. It uses a code of a minute ago.
func (c clinic) equip(t *testing.T, staff Staff) (phone, []string) {
	t.Helper()
	return c.equipOne(t, staff.subject())
}

// equipOne is equip for a person of any realm.
func (c clinic) equipOne(t *testing.T, who policy.Subject) (phone, []string) {
	t.Helper()
	if err := c.Enrol(t.Context(), who); err != nil {
		t.Fatal(err)
	}
	making, err := c.Enrolling(t.Context(), who)
	if err != nil {
		t.Fatal(err)
	}
	p := phone{t, making.Secret, c.clock}
	recovery, err := c.AddFactor(t.Context(), who, good, p.code(0))
	if err != nil {
		t.Fatal(err)
	}
	c.clock.move(time.Minute)
	return p, recovery
}

// only returns the id of a staff member's only second factor.
func (c clinic) only(t *testing.T, staff Staff) uuid.UUID {
	t.Helper()
	f, err := c.FactorsOf(t.Context(), staff.subject(), "")
	if err != nil || len(f.All) != 1 {
		t.Fatalf("%+v, %v", f, err)
	}
	return f.All[0].ID
}

// RFC 6238, appendix B, the last six of its eight digits, as far as a time.Duration goes.
func TestCodesAreThoseOfTheRFC(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example")
	secret := base32.StdEncoding.EncodeToString([]byte("12345678901234567890"))
	for at, code := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037"} {
		c.exec(t, `DELETE FROM app.second_factors`)
		change := uuid.New()
		c.exec(t, `INSERT INTO app.second_factors (change_id, realm, subject, wrapped_key, secret, made_at) VALUES ($1, 'staff', $2, '', '', now())`, change, ada.ID)
		c.clock.move(time.Unix(at, 0).Sub(c.clock.now()))
		if err := c.useCode(t.Context(), change, secret, code); err != nil {
			t.Errorf("%s at %d: %v", code, at, err)
		}
	}
}

func TestSignInWithASecondFactor(t *testing.T) {
	for _, test := range []struct {
		name   string
		typed  func(p phone, recovery []string) Credentials
		want   error
		event  string // type and method; "": none
		reason string
	}{
		{"no code", func(phone, []string) Credentials { return Credentials{Password: good} }, CodeNeeded{}, "", ""},
		{"a wrong password and no code", func(phone, []string) Credentials { return Credentials{Password: "x"} }, ErrWrongCredentials, "sign_in.failed password", "wrong_password"},
		{"a wrong password and the code", func(p phone, _ []string) Credentials { return Credentials{Password: "x", TOTP: p.code(0)} },
			ErrWrongCredentials, "sign_in.failed password", "wrong_password"},
		{"the code", func(p phone, _ []string) Credentials { return Credentials{Password: good, TOTP: p.code(0)} }, nil, "signed_in password_and_code", ""},
		{"the code with a space", func(p phone, _ []string) Credentials {
			return Credentials{Password: good, TOTP: " " + p.code(0)[:3] + " " + p.code(0)[3:]}
		}, nil, "signed_in password_and_code", ""},
		{"of the step before", func(p phone, _ []string) Credentials { return Credentials{Password: good, TOTP: p.code(-1)} }, nil, "signed_in password_and_code", ""},
		{"of the step after", func(p phone, _ []string) Credentials { return Credentials{Password: good, TOTP: p.code(1)} }, nil, "signed_in password_and_code", ""},
		{"of two steps before", func(p phone, _ []string) Credentials { return Credentials{Password: good, TOTP: p.code(-2)} },
			ErrWrongCode, "sign_in.failed password_and_code", "wrong_code"},
		{"of two steps after", func(p phone, _ []string) Credentials { return Credentials{Password: good, TOTP: p.code(2)} },
			ErrWrongCode, "sign_in.failed password_and_code", "wrong_code"},
		{"too short", func(p phone, _ []string) Credentials { return Credentials{Password: good, TOTP: p.code(0)[:5]} },
			ErrWrongCode, "sign_in.failed password_and_code", "wrong_code"},
		{"no digits", func(phone, []string) Credentials { return Credentials{Password: good, TOTP: "abcdef"} },
			ErrWrongCode, "sign_in.failed password_and_code", "wrong_code"},
		{"a recovery code", func(_ phone, r []string) Credentials { return Credentials{Password: good, TOTP: r[3]} },
			nil, "signed_in password_and_recovery_code", ""},
		{"one in capitals without hyphens", func(_ phone, r []string) Credentials {
			return Credentials{Password: good, TOTP: strings.ToUpper(strings.ReplaceAll(r[7], "-", ""))}
		}, nil, "signed_in password_and_recovery_code", ""},
		{"a recovery code that is none", func(phone, []string) Credentials { return Credentials{Password: good, TOTP: "aaaa-bbbb-cccc-dddd"} },
			ErrWrongCode, "sign_in.failed password_and_recovery_code", "wrong_code"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClinic(t)
			ada := c.hire(t, "ada@clinic.example")
			p, recovery := c.equip(t, ada)
			typed := test.typed(p, recovery)
			typed.Email = ada.Email
			before := c.rec.count()
			subject, err := c.SignInStaff(t.Context(), typed)
			if needed := (CodeNeeded{}); errors.As(err, &needed) {
				err = CodeNeeded{}
			}
			if err != test.want || (subject.ID == ada.ID) != (err == nil) {
				t.Errorf("got %+v, %v, want %v", subject, err, test.want)
			}
			if test.event == "" {
				if c.rec.count() != before {
					t.Errorf("the record has %v", c.rec.last(t, c.rec.count()-before))
				}
				return
			}
			kind, method, _ := strings.Cut(test.event, " ")
			got := c.rec.last(t, 1)[0]
			if !strings.HasPrefix(got, kind+" by ") || !strings.Contains(got, `"method":"`+method+`"`) || strings.Contains(got, `"reason"`) != (test.reason != "") ||
				!strings.Contains(got, test.reason) {
				t.Errorf("the record has %s", got)
			}
		})
	}
}

// A code works once, and so does a recovery code. A code older than an accepted one does not
// work.
func TestACodeIsTakenOnce(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example")
	p, recovery := c.equip(t, ada)
	try := func(code string, want error) {
		t.Helper()
		if _, err := c.SignInStaff(t.Context(), Credentials{Email: ada.Email, Password: good, TOTP: code}); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		c.exec(t, `DELETE FROM app.sign_in_tries`)
	}
	try(p.code(0), nil)
	try(p.code(0), ErrWrongCode)
	try(p.code(-1), ErrWrongCode)
	try(p.code(1), nil)
	c.clock.move(stepLength)
	try(p.code(0), ErrWrongCode) // the one of the step after, a moment ago
	try(recovery[0], nil)
	try(recovery[0], ErrWrongCode)
	if f, err := c.FactorsOf(t.Context(), ada.subject(), ""); f.Recovery != recoveryCodes-1 || err != nil {
		t.Errorf("%d recovery codes are left, %v", f.Recovery, err)
	}
	// The shorter codes of an earlier version still work.
	former := sha256.Sum256([]byte("abcdefghijkl2345"))
	c.exec(t, `UPDATE app.recovery_codes SET code_hash = $1 WHERE code_hash = $2`, former[:], hashOf(recovery[1]))
	try("ABCD-EFGH-IJKL-2345", nil)
}

// hashOf is the hash of a recovery code as a person types it.
func hashOf(code string) []byte {
	sum := sha256.Sum256([]byte(strings.ReplaceAll(code, "-", "")))
	return sum[:]
}

// Of twenty concurrent sign-ins with the same code, one succeeds.
func TestACodeIsTakenOnceAtOnce(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example")
	p, recovery := c.equip(t, ada)
	for _, code := range []string{p.code(0), recovery[0]} {
		var all sync.WaitGroup
		in := make(chan bool, 20)
		for range cap(in) {
			all.Go(func() {
				if _, err := c.verifyCode(t.Context(), lane{}, ada.subject(), code); err == nil {
					in <- true
				} else if !errors.Is(err, ErrWrongCode) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(in) != 1 {
			t.Errorf("%d came in by one code", len(in))
		}
	}
}

// Guesses at the code are slowed down like guesses at the password: the right password does
// not reset the count.
func TestGuessingAtCodesIsSlowedDown(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example")
	p, _ := c.equip(t, ada)
	soon := TooSoon{}
	tries := 0
	for tries = range 20 {
		code := "000000"
		if tries%2 == 0 {
			code = ""
		}
		if _, err := c.SignInStaff(t.Context(), Credentials{Email: ada.Email, Password: good, TOTP: code}); errors.As(err, &soon) {
			break
		}
	}
	if tries != 5 {
		t.Errorf("%d tries were read, want 5", tries)
	}
	c.clock.move(soon.After)
	if _, err := c.SignInStaff(t.Context(), Credentials{Email: ada.Email, Password: good, TOTP: p.code(0)}); err != nil {
		t.Errorf("after the wait: %v", err)
	}
}

// Without scripts, signing in takes two steps. Between them the session is not
// authenticated.
func TestSignInStepByStep(t *testing.T) {
	s := newSite(t)
	ada := s.hire(t, "ada@clinic.example")
	p, _ := s.equip(t, ada)
	code := func(b *browser, code string, want int) {
		t.Helper()
		response, err := b.PostForm(s.URL+"/staff", map[string][]string{"code": {code}})
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("the code: status %d, want %d", response.StatusCode, want)
		}
	}
	halfway := func() *browser {
		t.Helper()
		b := s.browser(t)
		if status := b.signIn("/staff", ada.Email, good); status != http.StatusAccepted {
			t.Fatalf("the password: status %d", status)
		}
		b.is("/staff", "")
		return b
	}
	code(s.browser(t), p.code(0), http.StatusUnauthorized) // without a password

	b := halfway()
	former := b.cookie("postern_staff")
	code(b, "000000", http.StatusUnauthorized)
	b.is("/staff", "")
	code(b, p.code(0), http.StatusOK)
	b.is("/staff", "staff:"+ada.ID)
	if b.cookie("postern_staff") == former {
		t.Error("the token of between is that of the session")
	}
	for name, end := range map[string]func(){
		"too late":          func() { s.clock.move(halfwayLifetime) },
		"another password":  func() { s.setByLink(t, ada, good) },
		"disabled":          func() { _ = s.Disable(t.Context(), operator, ada.ID) },
		"signed out by all": func() { _ = s.SignOutEverywhere(t.Context(), ada.subject()) },
	} {
		_ = s.Enable(t.Context(), operator, ada.ID)
		b := halfway()
		end()
		s.clock.move(time.Minute)
		code(b, p.code(0), http.StatusUnauthorized)
		b.is("/staff", "")
		t.Log(name)
	}
}

func TestSettingASecondFactorUp(t *testing.T) {
	s := newSite(t)
	ada := s.hire(t, "ada@clinic.example")
	me := ada.subject()
	b := s.browser(t)
	b.signIn("/staff", ada.Email, good)
	add := func(password, code string, want error) {
		t.Helper()
		if _, err := s.AddFactor(t.Context(), me, password, code); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	add(good, "000000", ErrNoEnrolment)
	if err := s.Enrol(t.Context(), me); err != nil {
		t.Fatal(err)
	}
	if err := s.Enrol(t.Context(), me); err != nil { // once more: that of before is gone
		t.Fatal(err)
	}
	making, err := s.Enrolling(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.count(t, `SELECT count(*) FROM app.second_factors`); n != 1 || !strings.HasPrefix(making.URL, "otpauth://totp/Postern:ada@clinic.example?") {
		t.Errorf("%d are being set up: %s", n, making.URL)
	}
	p := phone{t, making.Secret, s.clock}
	add("wrong", p.code(0), passwords.ErrCurrent)
	add(good, "000000", ErrWrongCode)
	if _, err := s.SignInStaff(t.Context(), Credentials{Email: ada.Email, Password: good}); err != nil {
		t.Errorf("what is not set up is asked for: %v", err)
	}
	b.is("/staff", "staff:"+ada.ID)
	add(good, p.code(0), nil)
	b.is("/staff", "") // it came without a code
	want := []string{`second_factor.added by staff:` + ada.ID + `: {"account":"staff","id":"` + ada.ID + `","kind":"totp"}`,
		`recovery_codes.made by staff:` + ada.ID + `: {"account":"staff","id":"` + ada.ID + `"}`}
	if diff := cmp.Diff(want, s.rec.last(t, 2)); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
	if strings.Contains(s.rec.all(), making.Secret) {
		t.Error("the secret is on the record")
	}
	if _, err := s.Enrolling(t.Context(), me); !errors.Is(err, ErrNoEnrolment) {
		t.Errorf("the secret is shown again: %v", err)
	}

	// Another phone takes its place.
	s.clock.move(time.Minute)
	q, more := s.equip(t, ada)
	if len(more) > 0 {
		t.Error("the recovery codes of before no longer work")
	}
	if _, err := s.SignInStaff(t.Context(), Credentials{Email: ada.Email, Password: good, TOTP: p.code(0)}); !errors.Is(err, ErrWrongCode) {
		t.Errorf("the former phone: %v", err)
	}
	if _, err := s.SignInStaff(t.Context(), Credentials{Email: ada.Email, Password: good, TOTP: q.code(0)}); err != nil {
		t.Errorf("the new phone: %v", err)
	}
}

// The data in Postgres reveals no code: neither the secret nor the recovery codes are stored
// as plain text.
func TestSecretsAreSealed(t *testing.T) {
	c := newClinic(t)
	p, recovery := c.equip(t, c.hire(t, "ada@clinic.example"))
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(p.secret)
	if err != nil {
		t.Fatal(err)
	}
	if n := c.count(t, `SELECT count(*) FROM app.second_factors f WHERE position($1::bytea IN f.secret) > 0 OR position($1::bytea IN f.wrapped_key) > 0`, raw); n != 0 {
		t.Error("the secret is kept as it is")
	}
	plain := strings.ReplaceAll(recovery[0], "-", "")
	if n := c.count(t, `SELECT count(*) FROM app.recovery_codes r WHERE position($1::bytea IN r.code_hash) > 0`, []byte(plain)); n != 0 {
		t.Error("recovery codes are kept as they are")
	}
}

// A recorded factor is required even if its secret is lost.
func TestALostSecretOpensNothing(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example")
	p, _ := c.equip(t, ada)
	c.exec(t, `DELETE FROM app.second_factors`)
	if _, err := c.SignInStaff(t.Context(), Credentials{Email: ada.Email, Password: good}); !errors.As(err, new(CodeNeeded)) {
		t.Errorf("without a code: %v", err)
	}
	if _, err := c.SignInStaff(t.Context(), Credentials{Email: ada.Email, Password: good, TOTP: p.code(0)}); !errors.Is(err, ErrWrongCode) {
		t.Errorf("with one: %v", err)
	}
	if err := c.ResetFactor(t.Context(), operator, ada.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SignInStaff(t.Context(), Credentials{Email: ada.Email, Password: good}); err != nil {
		t.Errorf("after a reset: %v", err)
	}
}

func TestSecondFactorsEnd(t *testing.T) {
	c := newClinic(t)
	ada, ben := c.hire(t, "ada@clinic.example"), c.hire(t, "ben@clinic.example")
	c.equip(t, ada)
	c.equip(t, ben)
	if err := c.RemoveFactor(t.Context(), ada.subject(), c.only(t, ada), "wrong"); !errors.Is(err, passwords.ErrCurrent) {
		t.Errorf("with a wrong password: %v", err)
	}
	if err := c.RemoveFactor(t.Context(), ada.subject(), c.only(t, ben), good); !errors.Is(err, ErrNoSuchFactor) {
		t.Errorf("that of another person: %v", err)
	}
	if err := c.RemoveFactor(t.Context(), ada.subject(), c.only(t, ada), good); err != nil {
		t.Error(err)
	}
	if err := c.ResetFactor(t.Context(), "staff:boss", ben.ID); err != nil {
		t.Error(err)
	}
	if err := c.ResetFactor(t.Context(), "staff:boss", ben.ID); err != nil { // publishes no event
		t.Error(err)
	}
	if err := c.ResetFactor(t.Context(), ben.subject().Actor(), ben.ID); !errors.Is(err, ErrOwnFactor) {
		t.Errorf("of oneself: %v", err)
	}
	if err := c.ResetFactor(t.Context(), "staff:boss", "unknown"); !errors.Is(err, ErrNoStaff) {
		t.Errorf("of unknown staff: %v", err)
	}
	want := []string{
		`second_factor.removed by staff:` + ada.ID + `: {"account":"staff","id":"` + ada.ID + `","kind":"totp"}`,
		`second_factor.reset by staff:boss: {"account":"staff","id":"` + ben.ID + `"}`,
	}
	if diff := cmp.Diff(want, c.rec.last(t, 2)); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
	if n := c.count(t, `SELECT (SELECT count(*) FROM app.second_factors) + (SELECT count(*) FROM app.recovery_codes)`); n != 0 {
		t.Errorf("%d secrets are left", n)
	}
}

// If a clinic requires a second factor, staff without one may only set one up. API tokens
// are made by an operator and need none.
func TestASecondFactorThatIsRequired(t *testing.T) {
	s := newSite(t)
	ada := s.hire(t, "ada@clinic.example", policy.All...)
	s.hire(t, "ben@clinic.example", policy.ManageStaff)
	s.cfg.FactorRequired = true
	token := s.token(t, ada)
	due, err := s.loadStaff(t.Context(), ada.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range policy.ActionsOf(policy.RealmStaff) {
		want := policy.ErrFactorDue
		if action == policy.SecureAccount {
			want = nil
		}
		if err := policy.Allow(due, action); err != want {
			t.Errorf("%s: %v, want %v", action, err, want)
		}
	}
	if robot, err := s.SubjectOfToken(t.Context(), token); err != nil || policy.Allow(robot, policy.SendMessage) != nil {
		t.Errorf("an API token: %+v, %v", robot, err)
	}
	s.equip(t, ada)
	if now, err := s.loadStaff(t.Context(), ada.ID); err != nil || policy.Allow(now, policy.SendMessage) != nil {
		t.Errorf("with a factor: %+v, %v", now, err)
	}
	if err := s.RemoveFactor(t.Context(), ada.subject(), s.only(t, ada), good); !errors.Is(err, ErrFactorRequired) {
		t.Errorf("removing it: %v", err)
	}
}
