package access

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/factor"
	"postern/internal/access/passkey"
	"postern/internal/access/passkey/passkeytest"
	"postern/internal/access/passwords"
	"postern/internal/access/policy"
)

// here is the host of the clinic's PUBLIC_URL.
const here = "portal.example.test"

// A device makes passkeys and signs with them, as a phone does.
type device struct {
	t   *testing.T
	rp  virtualwebauthn.RelyingParty
	is  virtualwebauthn.Authenticator
	key virtualwebauthn.Credential
}

func newDevice(t *testing.T) *device {
	return &device{t, virtualwebauthn.RelyingParty{ID: here, Name: "Postern", Origin: "https://" + here},
		virtualwebauthn.NewAuthenticator(), passkeytest.New(t)}
}

func (d *device) makes(options string) string {
	d.t.Helper()
	parsed, err := virtualwebauthn.ParseAttestationOptions(`{"publicKey":` + options + `}`)
	if err != nil {
		d.t.Fatal(err)
	}
	d.is.Options.UserHandle = []byte(parsed.UserID)
	return virtualwebauthn.CreateAttestationResponse(d.rp, d.is, d.key, *parsed)
}

// signs answers with the next count.
func (d *device) signs(options string) string {
	d.t.Helper()
	parsed, err := virtualwebauthn.ParseAssertionOptions(`{"publicKey":` + options + `}`)
	if err != nil {
		d.t.Fatal(err)
	}
	d.key.Counter++
	return virtualwebauthn.CreateAssertionResponse(d.rp, d.is, d.key, *parsed)
}

// A holder is a staff member or a portal user with the password good.
type holder struct {
	c     clinic
	who   policy.Subject
	email string
	in    func(*Gate, context.Context, Credentials) (policy.Subject, error)
}

func (c clinic) staffPerson(t *testing.T) holder {
	t.Helper()
	ada := c.hire(t, "ada@clinic.example")
	return holder{c, ada.subject(), ada.Email, (*Gate).SignInStaff}
}

func (c clinic) portalPerson(t *testing.T) holder {
	t.Helper()
	c.enrol(t, "pu-1", "noor@home.example", good)
	return holder{c, policy.Subject{Realm: policy.RealmPortalUser, ID: "pu-1", Name: "Noor Haddad"}, "noor@home.example", (*Gate).SignInPortal}
}

// eachRealm runs a test for a person of each realm.
func eachRealm(t *testing.T, test func(t *testing.T, p holder)) {
	t.Run("staff", func(t *testing.T) { test(t, newClinic(t).staffPerson(t)) })
	t.Run("portal user", func(t *testing.T) { test(t, newClinic(t).portalPerson(t)) })
}

// session is the context of a request with an empty session.
func (p holder) session(t *testing.T) context.Context {
	t.Helper()
	ctx, err := p.c.ofRealm(p.who.Realm).sessions.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

// adds makes a passkey on a new device.
func (p holder) adds(t *testing.T, name string) (*device, []string) {
	t.Helper()
	d, ctx := newDevice(t), p.session(t)
	options, err := p.c.BeginPasskey(ctx, p.who, here, name, good)
	if err != nil {
		t.Fatal(err)
	}
	recovery, err := p.c.AddPasskey(ctx, p.who, d.makes(options))
	if err != nil {
		t.Fatal(err)
	}
	return d, recovery
}

// signsIn signs in with a passkey alone.
func (p holder) signsIn(t *testing.T, d *device) (policy.Subject, error) {
	t.Helper()
	ctx := p.session(t)
	options, err := p.c.BeginPasskeySignIn(ctx, p.who.Realm, here)
	if err != nil {
		t.Fatal(err)
	}
	return p.c.SignInByPasskey(ctx, p.who.Realm, d.signs(options))
}

// proves signs in with the password and then a passkey.
func (p holder) proves(t *testing.T, d *device) (policy.Subject, error) {
	t.Helper()
	ctx := p.halfway(t)
	options, err := p.c.BeginSecondPasskey(ctx, p.who.Realm, here)
	if err != nil || options == "" {
		t.Fatalf("%q, %v", options, err)
	}
	return p.c.SignInWithPasskey(ctx, p.who.Realm, d.signs(options))
}

// halfway gives the password.
func (p holder) halfway(t *testing.T) context.Context {
	t.Helper()
	ctx, needed := p.session(t), CodeNeeded{}
	if _, err := p.in(p.c.Gate, ctx, Credentials{Email: p.email, Password: good}); !errors.As(err, &needed) {
		t.Fatalf("the password alone: %v", err)
	}
	if err := p.c.AwaitCode(ctx, needed); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// reset is by another person, and off disables the account, or makes it inactive.
func (p holder) reset(t *testing.T) {
	t.Helper()
	reset := p.c.ResetFactor
	if p.who.Realm == policy.RealmPortalUser {
		reset = p.c.ResetPortalFactor
	}
	if err := reset(t.Context(), "staff:boss", p.who.ID); err != nil {
		t.Fatal(err)
	}
}

func (p holder) off(t *testing.T) {
	t.Helper()
	if p.who.Realm == policy.RealmPortalUser {
		p.c.exec(t, `UPDATE app.portal_users SET active = false`)
	} else if err := p.c.Disable(t.Context(), operator, p.who.ID); err != nil {
		t.Fatal(err)
	}
}

func (p holder) factors(t *testing.T) factor.Factors {
	t.Helper()
	f, err := p.c.FactorsOf(t.Context(), p.who, here)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A passkey is added with the password, and signs in beside the password and alone. The record has
// whose it is and of which kind, and not its name.
func TestAPasskey(t *testing.T) {
	eachRealm(t, func(t *testing.T, p holder) {
		by := string(p.who.Realm) + ":" + p.who.ID
		ctx := p.session(t)
		for name, want := range map[string]error{"": ErrPasskeyName, strings.Repeat("x", 101): ErrPasskeyName, "My phone": passwords.ErrCurrent} {
			if _, err := p.c.BeginPasskey(ctx, p.who, here, name, "wrong"); !errors.Is(err, want) || !errors.Is(err, passwords.ErrCurrent) {
				t.Errorf("with the name %q and a wrong password: %v", name, err)
			}
		}
		p.c.exec(t, `DELETE FROM app.sign_in_tries`)
		if _, err := p.c.AddPasskey(ctx, p.who, "{}"); !errors.Is(err, ErrNoCeremony) {
			t.Errorf("without a beginning: %v", err)
		}
		d, recovery := p.adds(t, "My phone")
		if len(recovery) != recoveryCodes {
			t.Errorf("%d recovery codes", len(recovery))
		}
		id := p.who.ID
		want := []string{`second_factor.added by ` + by + `: {"account":"` + string(p.who.Realm) + `","id":"` + id + `","kind":"passkey"}`,
			`recovery_codes.made by ` + by + `: {"account":"` + string(p.who.Realm) + `","id":"` + id + `"}`}
		if diff := cmp.Diff(want, p.c.rec.last(t, 2)); diff != "" {
			t.Errorf("the record (-want +got):\n%s", diff)
		}
		if strings.Contains(p.c.rec.all(), "My phone") {
			t.Error("its name is on the record")
		}
		if f := p.factors(t); len(f.All) != 1 || f.All[0].Name != "My phone" || f.All[0].Kind != factor.Passkey || f.All[0].UsedAt != nil || !f.Passkeys || f.HasApp() || f.Recovery != recoveryCodes {
			t.Errorf("the factors are %+v", f)
		}
		for method, in := range map[string]func(*testing.T, *device) (policy.Subject, error){"passkey": p.signsIn, "password_and_passkey": p.proves} {
			who, err := in(t, d)
			if err != nil || who.ID != id || string(who.Method) != method || who.FactorDue {
				t.Errorf("signing in by %s: %+v, %v", method, who, err)
			}
			if got := p.c.rec.last(t, 1)[0]; !strings.HasPrefix(got, "signed_in by "+by) || !strings.Contains(got, `"method":"`+method+`"`) {
				t.Errorf("the record has %s", got)
			}
		}
		if f := p.factors(t); f.All[0].UsedAt == nil {
			t.Error("its last use is not known")
		}
		// No code of six digits is right, a recovery code is.
		if _, err := p.in(p.c.Gate, p.session(t), Credentials{Email: p.email, Password: good, TOTP: "000000"}); !errors.Is(err, ErrWrongCode) {
			t.Errorf("a code: %v", err)
		}
		if who, err := p.in(p.c.Gate, p.session(t), Credentials{Email: p.email, Password: good, TOTP: recovery[0]}); err != nil || who.Method != "password_and_recovery_code" {
			t.Errorf("a recovery code: %+v, %v", who, err)
		}
	})
}

// Each answer of a passkey is refused that should be, with its reason on the record.
func TestAPasskeyIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, p holder, d *device)
		reason string // alone
		second string // after the password; "": the password is refused, or there is nothing to ask
		err    error
	}{
		"a copy that is behind": {change: func(_ *testing.T, _ holder, d *device) { d.key.Counter -= 2 }, reason: "cloned_passkey", second: "cloned_passkey", err: ErrClonedPasskey},
		"on another page":       {change: func(_ *testing.T, _ holder, d *device) { d.rp.Origin = "https://evil.example.test" }, reason: "wrong_passkey", second: "wrong_passkey", err: ErrWrongPasskey},
		"another key": {change: func(t *testing.T, _ holder, d *device) {
			d.key = passkeytest.New(t)
		}, reason: "unknown_passkey", second: "wrong_passkey", err: ErrWrongPasskey},
		"reset":              {change: func(t *testing.T, p holder, _ *device) { p.reset(t) }, reason: "unknown_passkey", err: ErrWrongPasskey},
		"the account is off": {change: func(t *testing.T, p holder, _ *device) { p.off(t) }, reason: "inactive", err: ErrWrongPasskey},
		"in Postgres alone":  {change: func(t *testing.T, p holder, _ *device) { p.c.exec(t, `DELETE FROM record.second_factors`) }, reason: "unknown_passkey", err: ErrWrongPasskey},
		"of the other realm": {change: func(t *testing.T, p holder, _ *device) {
			p.c.exec(t, `UPDATE app.passkeys SET realm = CASE realm WHEN 'staff' THEN 'portal_user' ELSE 'staff' END`)
		}, reason: "unknown_passkey", err: ErrWrongPasskey},
		"no one has unlocked it": {change: func(_ *testing.T, _ holder, d *device) { d.is.Options.UserNotVerified = true }, reason: "wrong_passkey", err: ErrWrongPasskey},
	} {
		t.Run(name, func(t *testing.T) {
			eachRealm(t, func(t *testing.T, p holder) {
				d, _ := p.adds(t, "My phone")
				d.key.Counter = 10
				if _, err := p.signsIn(t, d); err != nil {
					t.Fatal(err)
				}
				c.change(t, p, d)
				_, err := p.signsIn(t, d)
				if !errors.Is(err, c.err) {
					t.Errorf("alone: %v, want %v", err, c.err)
				}
				if got := p.c.rec.last(t, 1)[0]; !strings.HasPrefix(got, "sign_in.failed by ") || !strings.Contains(got, `"reason":"`+c.reason+`"`) || !strings.Contains(got, `"method":"passkey"`) {
					t.Errorf("the record has %s", got)
				}
				if c.second == "" {
					return
				}
				if _, err = p.proves(t, d); !errors.Is(err, c.err) {
					t.Errorf("after the password: %v, want %v", err, c.err)
				}
				if got := p.c.rec.last(t, 1)[0]; !strings.HasPrefix(got, "sign_in.failed by ") || !strings.Contains(got, `"reason":"`+c.second+`"`) || !strings.Contains(got, `"method":"password_and_passkey"`) {
					t.Errorf("the record has %s", got)
				}
			})
		})
	}
}

// A challenge is good for one answer, within ten minutes, in its session and for its purpose.
func TestAChallengeIsUsedOnce(t *testing.T) {
	eachRealm(t, func(t *testing.T, p holder) {
		d, _ := p.adds(t, "My phone")
		realm := p.who.Realm
		begin := func() (context.Context, string) {
			ctx := p.session(t)
			options, err := p.c.BeginPasskeySignIn(ctx, realm, here)
			if err != nil {
				t.Fatal(err)
			}
			return ctx, d.signs(options)
		}
		ctx, answer := begin()
		if _, err := p.c.SignInByPasskey(p.session(t), realm, answer); !errors.Is(err, ErrNoCeremony) {
			t.Errorf("in another session: %v", err)
		}
		if _, err := p.c.SignInByPasskey(ctx, realm, answer); err != nil {
			t.Errorf("in its session: %v", err)
		}
		if _, err := p.c.SignInByPasskey(ctx, realm, answer); !errors.Is(err, ErrNoCeremony) {
			t.Errorf("a second time: %v", err)
		}
		ctx, answer = begin()
		p.c.clock.move(halfwayLifetime)
		if _, err := p.c.SignInByPasskey(ctx, realm, answer); !errors.Is(err, ErrNoCeremony) {
			t.Errorf("too late: %v", err)
		}
		ctx, answer = begin()
		if _, err := p.c.AddPasskey(ctx, p.who, answer); !errors.Is(err, ErrNoCeremony) {
			t.Errorf("for another purpose: %v", err)
		}
		if _, err := p.c.SignInWithPasskey(ctx, realm, answer); !errors.Is(err, ErrNotHalfway) {
			t.Errorf("without the password: %v", err)
		}
		// Twenty requests that have read the same session at once.
		ctx, answer = begin()
		kept := p.c.ofRealm(realm).sessions.GetString(ctx, ceremonyKey)
		var all sync.WaitGroup
		in := make(chan bool, 20)
		for range cap(in) {
			one := p.session(t)
			p.c.ofRealm(realm).sessions.Put(one, ceremonyKey, kept)
			all.Go(func() {
				if _, err := p.c.SignInByPasskey(one, realm, answer); err == nil {
					in <- true
				} else if !errors.Is(err, ErrWrongPasskey) && !errors.Is(err, ErrClonedPasskey) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(in) != 1 {
			t.Errorf("%d came in by one answer", len(in))
		}
	})
}

// A passkey belongs to the host of PUBLIC_URL. With another host it is listed, and does not work; a
// recovery code does.
func TestAPasskeyOfAFormerHost(t *testing.T) {
	eachRealm(t, func(t *testing.T, p holder) {
		_, recovery := p.adds(t, "My phone")
		moved, err := passkey.New("https://new.example.test", "Postern")
		if err != nil {
			t.Fatal(err)
		}
		p.c.cfg.Passkeys = moved
		if f := p.factors(t); len(f.All) != 1 || f.All[0].Elsewhere != here || !f.Passkeys {
			t.Errorf("the factors are %+v", f)
		}
		if options, err := p.c.BeginSecondPasskey(p.halfway(t), p.who.Realm, "new.example.test"); options != "" || err != nil {
			t.Errorf("it is asked for: %q, %v", options, err)
		}
		if _, err := p.in(p.c.Gate, p.session(t), Credentials{Email: p.email, Password: good, TOTP: recovery[0]}); err != nil {
			t.Errorf("a recovery code: %v", err)
		}
		p.c.cfg.Passkeys = nil // PUBLIC_URL is an address without a name
		if options, err := p.c.BeginSecondPasskey(p.halfway(t), p.who.Realm, here); options != "" || err != nil {
			t.Errorf("it is asked for: %q, %v", options, err)
		}
		if _, err := p.c.BeginPasskey(p.session(t), p.who, here, "x", good); !errors.Is(err, ErrNoCeremony) {
			t.Errorf("adding one: %v", err)
		}
		if _, err := p.c.BeginPasskeySignIn(p.session(t), p.who.Realm, here); !errors.Is(err, ErrNoCeremony) {
			t.Errorf("signing in with one: %v", err)
		}
		if _, err := p.c.SignInByPasskey(p.session(t), p.who.Realm, "{}"); !errors.Is(err, ErrNoCeremony) {
			t.Errorf("an answer: %v", err)
		}
	})
}

// A person has an app and passkeys beside each other, and one set of recovery codes. Each is removed
// by itself; the codes end with the last.
func TestSeveralFactors(t *testing.T) {
	eachRealm(t, func(t *testing.T, p holder) {
		first, recovery := p.adds(t, "My phone")
		second, none := p.adds(t, "My key")
		ph, also := p.c.equipOne(t, p.who)
		if len(none) > 0 || len(also) > 0 {
			t.Error("there is a second set of recovery codes")
		}
		kinds, err := p.c.SecondFactors(t.Context(), p.who.Realm, p.who.ID)
		if diff := cmp.Diff([]factor.Kind{factor.Passkey, factor.App}, kinds); diff != "" || err != nil {
			t.Errorf("the kinds (-want +got):\n%s%v", diff, err)
		}
		for name, in := range map[string]func() error{
			"the first":  func() error { _, err := p.signsIn(t, first); return err },
			"the second": func() error { _, err := p.proves(t, second); return err },
			"the app": func() error {
				_, err := p.in(p.c.Gate, p.session(t), Credentials{Email: p.email, Password: good, TOTP: ph.code(0)})
				return err
			},
			"a former code": func() error {
				_, err := p.in(p.c.Gate, p.session(t), Credentials{Email: p.email, Password: good, TOTP: recovery[0]})
				return err
			},
		} {
			if err := in(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		fresh, err := p.c.NewRecoveryCodes(t.Context(), p.who, good)
		if err != nil || len(fresh) != recoveryCodes {
			t.Fatalf("new recovery codes: %v, %v", fresh, err)
		}
		if _, err := p.c.NewRecoveryCodes(t.Context(), p.who, "wrong"); !errors.Is(err, passwords.ErrCurrent) {
			t.Errorf("new ones with a wrong password: %v", err)
		}
		for code, want := range map[string]error{recovery[1]: ErrWrongCode, fresh[0]: nil} {
			if _, err := p.in(p.c.Gate, p.session(t), Credentials{Email: p.email, Password: good, TOTP: code}); !errors.Is(err, want) {
				t.Errorf("a recovery code: %v, want %v", err, want)
			}
		}
		if n := p.c.count(t, `SELECT count(*) FROM app.recovery_codes`); n != recoveryCodes-1 {
			t.Errorf("%d recovery codes are kept", n)
		}
		all := p.factors(t).All
		for i, f := range all {
			if err := p.c.RemoveFactor(t.Context(), p.who, f.ID, good); err != nil {
				t.Errorf("removing %s: %v", f.Name, err)
			}
			left := p.factors(t)
			if len(left.All) != len(all)-1-i || (left.Recovery > 0) != (len(left.All) > 0) {
				t.Errorf("after %s: %+v", f.Name, left)
			}
		}
		if n := p.c.count(t, `SELECT (SELECT count(*) FROM app.second_factors) + (SELECT count(*) FROM app.recovery_codes) + (SELECT count(*) FROM app.passkeys)`); n != 0 {
			t.Errorf("%d rows are left", n)
		}
		if _, err := p.in(p.c.Gate, p.session(t), Credentials{Email: p.email, Password: good}); err != nil {
			t.Errorf("the password alone: %v", err)
		}
		if _, err := p.c.NewRecoveryCodes(t.Context(), p.who, good); !errors.Is(err, ErrNoFactor) {
			t.Errorf("recovery codes without a factor: %v", err)
		}
		if err := p.c.RemoveFactor(t.Context(), p.who, uuid.New(), good); !errors.Is(err, ErrNoSuchFactor) {
			t.Errorf("removing one that is gone: %v", err)
		}
	})
}

// Where a factor is required, the last one stays, also if the last two are removed at once.
func TestTheLastFactorStays(t *testing.T) {
	p := newClinic(t).staffPerson(t)
	p.c.cfg.FactorRequired = true
	p.adds(t, "My phone")
	p.adds(t, "My key")
	var all sync.WaitGroup
	results := make(chan error, 2)
	for _, f := range p.factors(t).All {
		all.Go(func() { results <- p.c.RemoveFactor(t.Context(), p.who, f.ID, good) })
	}
	all.Wait()
	errs := []error{<-results, <-results}
	if !slices.ContainsFunc(errs, func(err error) bool { return err == nil }) || !slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, ErrFactorRequired) }) {
		t.Errorf("removing both: %v", errs)
	}
	if f := p.factors(t); len(f.All) != 1 || f.Removable() {
		t.Errorf("the factors are %+v", f)
	}
}

// A crash between the key and its event leaves a passkey that opens nothing, and the next try adds
// another.
func TestACrashBeforeAPasskeyIsRecorded(t *testing.T) {
	eachRealm(t, func(t *testing.T, p holder) {
		d, ctx := newDevice(t), p.session(t)
		options, err := p.c.BeginPasskey(ctx, p.who, here, "My phone", good)
		if err != nil {
			t.Fatal(err)
		}
		p.c.rec.failNext(errors.New("the record is away"))
		if _, err := p.c.AddPasskey(ctx, p.who, d.makes(options)); err == nil {
			t.Fatal("it was added without a record")
		}
		if _, err := p.in(p.c.Gate, p.session(t), Credentials{Email: p.email, Password: good}); err != nil {
			t.Errorf("the password alone: %v", err)
		}
		if _, err := p.signsIn(t, d); !errors.Is(err, ErrWrongPasskey) {
			t.Errorf("the passkey: %v", err)
		}
		p.adds(t, "My phone")
		p.c.clock.move(25 * time.Hour)
		if err := p.c.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := p.c.count(t, `SELECT (SELECT count(*) FROM app.passkeys) * 100 + (SELECT count(*) FROM app.recovery_codes)`); n != 100+recoveryCodes {
			t.Errorf("%d rows are left", n)
		}
	})
}

// Families share an address: the password chooses the account, and its second factor is asked for.
func TestAFactorBelongsToTheAccountOfThePassword(t *testing.T) {
	c := newClinic(t)
	p := c.portalPerson(t)
	c.enrol(t, "pu-2", p.email, "another brook runs under the mill")
	ph, _ := c.equipOne(t, p.who)
	if who, err := c.SignInPortal(t.Context(), Credentials{Email: p.email, Password: "another brook runs under the mill"}); err != nil || who.ID != "pu-2" {
		t.Errorf("the other account: %+v, %v", who, err)
	}
	if _, err := c.SignInPortal(t.Context(), Credentials{Email: p.email, Password: "another brook runs under the mill", TOTP: ph.code(0)}); err != nil {
		t.Errorf("the other account with the code: %v", err)
	}
	if who, err := c.SignInPortal(t.Context(), Credentials{Email: p.email, Password: good, TOTP: ph.code(0)}); err != nil || who.ID != "pu-1" {
		t.Errorf("the account with the factor: %+v, %v", who, err)
	}
}

// A portal user who is no longer active in the directory can't use a factor. One who is active
// again can, and one who was reset signs in with the password alone.
func TestFactorsOfAnInactivePortalUser(t *testing.T) {
	c := newClinic(t)
	p := c.portalPerson(t)
	d, _ := p.adds(t, "My phone")
	half := p.halfway(t)
	p.off(t)
	if _, err := c.SignInWithCode(half, p.who.Realm, "000000"); !errors.Is(err, ErrNotHalfway) {
		t.Errorf("a code: %v", err)
	}
	if _, err := p.signsIn(t, d); !errors.Is(err, ErrWrongPasskey) {
		t.Errorf("the passkey: %v", err)
	}
	c.exec(t, `UPDATE app.portal_users SET active = true`)
	if _, err := p.signsIn(t, d); err != nil {
		t.Errorf("active again: %v", err)
	}
	for range 2 { // the second publishes no event
		if err := c.ResetPortalFactor(t.Context(), "staff:boss", "pu-1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.ResetPortalFactor(t.Context(), "staff:boss", "unknown"); !errors.Is(err, ErrNoPortalUser) {
		t.Errorf("of an unknown one: %v", err)
	}
	if got, want := c.rec.last(t, 1)[0], `second_factor.reset by staff:boss: {"account":"portal_user","id":"pu-1"}`; got != want {
		t.Errorf("the record has %s", got)
	}
	if _, err := c.SignInPortal(t.Context(), Credentials{Email: p.email, Password: good}); err != nil {
		t.Errorf("after the reset: %v", err)
	}
}

// A portal user without a second factor is offered one, until they say no or have one.
func TestTheOfferOfASecondFactor(t *testing.T) {
	p := newClinic(t).portalPerson(t)
	offered := func() (context.Context, bool) {
		t.Helper()
		ctx := p.session(t)
		if err := p.c.Begin(ctx, p.who); err != nil {
			t.Fatal(err)
		}
		return ctx, p.c.FactorOffered(ctx)
	}
	if _, yes := offered(); !yes {
		t.Error("it is not offered")
	}
	p.adds(t, "My phone")
	if _, yes := offered(); yes {
		t.Error("it is offered to a person who has one")
	}
	if err := p.c.ResetPortalFactor(t.Context(), "staff:boss", p.who.ID); err != nil {
		t.Fatal(err)
	}
	ctx, yes := offered()
	if !yes {
		t.Error("it is not offered after a reset")
	}
	if err := p.c.CloseFactorOffer(ctx, p.who); err != nil || p.c.FactorOffered(ctx) {
		t.Errorf("after no it is offered: %v", err)
	}
	if _, yes := offered(); yes {
		t.Error("it is offered again")
	}
}
