package passkey_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/descope/virtualwebauthn"

	"postern/internal/access/passkey"
	"postern/internal/access/passkey/passkeytest"
)

// The host of PUBLIC_URL decides for which pages passkeys are made.
func TestTheHost(t *testing.T) {
	for address, want := range map[string]string{
		"https://portal.example.test":      "portal.example.test",
		"https://portal.example.test:8443": "portal.example.test",
		"http://127.0.0.1:8080":            "localhost",
		"http://[::1]:8080":                "localhost",
		"http://localhost:8080":            "localhost",
		"https://192.0.2.7":                "",
	} {
		p, err := passkey.New(address, "Postern")
		if err != nil {
			t.Fatal(err)
		}
		if (p == nil) != (want == "") || p != nil && p.Host() != want || want != "" && (!p.At(want) || !p.At(want+":99")) || p.At("127.0.0.1:8080") != (want != "" && want != "localhost") {
			t.Errorf("passkeys of %s are made for %+v", address, p)
		}
	}
	if _, err := passkey.New("https://%zz", "Postern"); err == nil {
		t.Error("a wrong address has passkeys")
	}
}

// bench is a site, a person, and a software authenticator with a passkey.
type bench struct {
	*passkey.Party
	person passkey.Person
	rp     virtualwebauthn.RelyingParty
	device virtualwebauthn.Authenticator
	key    virtualwebauthn.Credential
}

func newBench(t *testing.T) *bench {
	t.Helper()
	p, err := passkey.New("https://portal.example.test", "Postern")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Party: p, person: passkey.Person{Handle: bytes.Repeat([]byte{7}, 32), Name: "ada@clinic.example", DisplayName: "Ada Brook"},
		rp:     virtualwebauthn.RelyingParty{ID: "portal.example.test", Name: "Postern", Origin: "https://portal.example.test"},
		device: virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: bytes.Repeat([]byte{7}, 32)}),
		key:    passkeytest.New(t)}
	options, state, err := b.BeginAdd(b.person)
	if err != nil {
		t.Fatal(err)
	}
	made, err := b.FinishAdd(b.person, state, b.attest(t, b.rp, options))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made.ID, b.key.ID) {
		t.Errorf("the passkey is %+v", made)
	}
	b.person.Credentials = []passkey.Credential{made}
	return b
}

func (b *bench) attest(t *testing.T, rp virtualwebauthn.RelyingParty, options string) string {
	t.Helper()
	parsed, err := virtualwebauthn.ParseAttestationOptions(`{"publicKey":` + options + `}`)
	if err != nil {
		t.Fatal(err)
	}
	return virtualwebauthn.CreateAttestationResponse(rp, b.device, b.key, *parsed)
}

func (b *bench) assert(t *testing.T, options string) string {
	t.Helper()
	parsed, err := virtualwebauthn.ParseAssertionOptions(`{"publicKey":` + options + `}`)
	if err != nil {
		t.Fatal(err)
	}
	return virtualwebauthn.CreateAssertionResponse(b.rp, b.device, b.key, *parsed)
}

func (b *bench) find(id []byte) (passkey.Person, error) {
	if !bytes.Equal(id, b.person.Credentials[0].ID) {
		return passkey.Person{}, passkey.ErrUnknown
	}
	return b.person, nil
}

// What an authenticator answers is accepted once it fits in every part, and the counter goes on.
func TestUsingAPasskey(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*bench)
		answer func(string) string
		second error // after the password
		alone  error // without a password
	}{
		"right":                     {},
		"the counter stays":         {change: func(b *bench) { b.key.Counter = 0; b.person.Credentials[0].SignCount = 1 }, second: passkey.ErrCloned, alone: passkey.ErrCloned},
		"of another site":           {change: func(b *bench) { b.rp.ID = "evil.example.test" }, second: passkey.ErrWrong, alone: passkey.ErrWrong},
		"on a page of another site": {change: func(b *bench) { b.rp.Origin = "https://evil.example.test" }, second: passkey.ErrWrong, alone: passkey.ErrWrong},
		"another key":               {change: func(b *bench) { b.key = passkeytest.New(t) }, second: passkey.ErrWrong, alone: passkey.ErrUnknown},
		"another key, the same id": {change: func(b *bench) {
			id := b.key.ID
			b.key = passkeytest.New(t)
			b.key.ID = id
		}, second: passkey.ErrWrong, alone: passkey.ErrWrong},
		"another person's handle":    {change: func(b *bench) { b.device.Options.UserHandle = []byte("another") }, second: passkey.ErrWrong, alone: passkey.ErrWrong},
		"no one touched it":          {change: func(b *bench) { b.device.Options.UserNotPresent = true }, second: passkey.ErrWrong, alone: passkey.ErrWrong},
		"its user was not verified":  {change: func(b *bench) { b.device.Options.UserNotVerified = true }, alone: passkey.ErrWrong},
		"no answer":                  {answer: func(string) string { return "" }, second: passkey.ErrWrong, alone: passkey.ErrWrong},
		"the answer of another time": {answer: func(a string) string { return strings.Replace(a, `"clientDataJSON":"`, `"clientDataJSON":"x`, 1) }, second: passkey.ErrWrong, alone: passkey.ErrWrong},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.key.Counter = 5
			if c.change != nil {
				c.change(b)
			}
			if c.answer == nil {
				c.answer = func(a string) string { return a }
			}
			options, state, err := b.BeginUse(b.person)
			if err != nil {
				t.Fatal(err)
			}
			used, err := b.FinishUse(b.person, state, c.answer(b.assert(t, options)))
			if !errors.Is(err, c.second) || err == nil && used.SignCount != 5 {
				t.Errorf("after the password: %+v, %v, want %v", used, err, c.second)
			}
			options, state, err = b.BeginSignIn()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(options, `"userVerification":"required"`) || strings.Contains(options, "allowCredentials") {
				t.Errorf("the options are %s", options)
			}
			if used, err = b.FinishSignIn(state, c.answer(b.assert(t, options)), b.find); !errors.Is(err, c.alone) || err == nil && used.SignCount != 5 {
				t.Errorf("alone: %+v, %v, want %v", used, err, c.alone)
			}
		})
	}
}

// An answer fits only the state for which it was given.
func TestAnAnswerFitsItsState(t *testing.T) {
	b := newBench(t)
	b.key.Counter = 5
	options, _, err := b.BeginSignIn()
	if err != nil {
		t.Fatal(err)
	}
	answer := b.assert(t, options)
	_, other, err := b.BeginSignIn()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.FinishSignIn(other, answer, b.find); !errors.Is(err, passkey.ErrWrong) {
		t.Errorf("with the state of another sign-in: %v", err)
	}
	if _, err := b.FinishSignIn("x", answer, b.find); err == nil {
		t.Error("without a state it is accepted")
	}
}

// A passkey is made for this site alone, and not twice on one authenticator.
func TestMakingAPasskey(t *testing.T) {
	b := newBench(t)
	options, state, err := b.BeginAdd(b.person)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(options, "excludeCredentials") || strings.Contains(options, `"attestation":"direct"`) {
		t.Errorf("the options are %s", options)
	}
	for name, answer := range map[string]string{
		"nothing":         "",
		"of another site": b.attest(t, virtualwebauthn.RelyingParty{ID: "evil.example.test", Origin: "https://evil.example.test"}, options),
	} {
		if _, err := b.FinishAdd(b.person, state, answer); !errors.Is(err, passkey.ErrWrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := b.person
	other.Handle = []byte("another")
	if _, err := b.FinishAdd(other, state, b.attest(t, b.rp, options)); !errors.Is(err, passkey.ErrWrong) {
		t.Errorf("another person's: %v", err)
	}
}
