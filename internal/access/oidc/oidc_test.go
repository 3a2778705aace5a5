package oidc_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/internal/access/oidc"
	"postern/internal/access/oidc/oidctest"
)

func issuer(t *testing.T) (*oidctest.Issuer, *oidc.Issuer) {
	t.Helper()
	there := oidctest.New(t)
	there.Email = "ada@clinic.example"
	return there, oidc.New(oidc.Config{Issuer: there.URL, ClientID: oidctest.ClientID,
		ClientSecret: oidctest.ClientSecret, RedirectURL: "http://postern.example/back"})
}

// asked returns the query of the request that a browser sends to the issuer.
func asked(t *testing.T, to string) url.Values {
	t.Helper()
	at, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	return at.Query()
}

// A valid answer of the issuer signs the person in. Any other answer, of the issuer or of
// an attacker in between, signs in no one.
func TestWhatTheIssuerAnswers(t *testing.T) {
	claim := func(name string, value any) func(*oidctest.Issuer) {
		return func(i *oidctest.Issuer) { i.Spoil = func(c map[string]any) { c[name] = value } }
	}
	answered := func(name, value string) func(oidc.Attempt, url.Values) (oidc.Attempt, url.Values) {
		return func(a oidc.Attempt, q url.Values) (oidc.Attempt, url.Values) {
			q.Set(name, value)
			return a, q
		}
	}
	for _, c := range []struct {
		name    string
		issuer  func(*oidctest.Issuer)
		between func(oidc.Attempt, url.Values) (oidc.Attempt, url.Values)
		reason  string // "": signed in
	}{
		{"as it should be", nil, nil, ""},
		{"a wrong nonce", claim("nonce", "another"), nil, oidc.InvalidToken},
		{"no nonce", claim("nonce", ""), nil, oidc.InvalidToken},
		{"a wrong state", nil, answered("state", "another"), oidc.WrongState},
		{"no state", nil, answered("state", ""), oidc.WrongState},
		{"the answer to no attempt", nil, func(_ oidc.Attempt, q url.Values) (oidc.Attempt, url.Values) {
			q.Del("state")
			return oidc.Attempt{}, q
		}, oidc.WrongState},
		{"an attempt that took too long", nil, func(a oidc.Attempt, q url.Values) (oidc.Attempt, url.Values) {
			a.Until = time.Now()
			return a, q
		}, oidc.WrongState},
		{"another issuer's answer", nil, answered("iss", "https://evil.example"), oidc.WrongState},
		{"a wrong audience", claim("aud", "another"), nil, oidc.InvalidToken},
		{"ours and another audience, issued to that", func(i *oidctest.Issuer) {
			i.Spoil = func(c map[string]any) { c["aud"], c["azp"] = []string{oidctest.ClientID, "another"}, "another" }
		}, nil, oidc.InvalidToken},
		{"a wrong issuer", claim("iss", "https://evil.example"), nil, oidc.InvalidToken},
		{"expired", claim("exp", time.Now().Add(-time.Hour).Unix()), nil, oidc.InvalidToken},
		{"signed by another key", func(i *oidctest.Issuer) { i.Forge = true }, nil, oidc.InvalidToken},
		{"an unverified e-mail address", func(i *oidctest.Issuer) { i.Verified = false }, nil, oidc.UnverifiedEmail},
		{"email_verified is not a boolean", claim("email_verified", "yes"), nil, oidc.InvalidToken},
		{"no e-mail address", claim("email", ""), nil, oidc.UnverifiedEmail},
		{"the person or the issuer says no", nil, answered("error", "access_denied"), oidc.RefusedByIssuer},
		{"a made-up code", nil, answered("code", "another"), oidc.RefusedByIssuer},
		{"a code that another browser asked for", nil, func(a oidc.Attempt, q url.Values) (oidc.Attempt, url.Values) {
			a.Verifier = strings.Repeat("x", 43)
			return a, q
		}, oidc.RefusedByIssuer},
	} {
		t.Run(c.name, func(t *testing.T) {
			there, here := issuer(t)
			if c.issuer != nil {
				c.issuer(there)
			}
			attempt, to, err := here.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			answer := there.Authorize(asked(t, to))
			if c.between != nil {
				attempt, answer = c.between(attempt, answer)
			}
			who, err := here.Finish(t.Context(), attempt, answer)
			refused := oidc.Refused{}
			switch {
			case c.reason == "" && (err != nil || who.Email != "ada@clinic.example"):
				t.Errorf("got %+v, %v", who, err)
			case c.reason != "" && (!errors.As(err, &refused) || refused.Reason != c.reason || who.Email != ""):
				t.Errorf("got %+v, %v (%s), want %s", who, err, refused.Reason, c.reason)
			}
		})
	}
}

// A used code signs no one in, even with its attempt.
func TestACodeIsUsedOnce(t *testing.T) {
	there, here := issuer(t)
	attempt, to, err := here.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answer := there.Authorize(asked(t, to))
	if _, err := here.Finish(t.Context(), attempt, answer); err != nil {
		t.Fatal(err)
	}
	refused := oidc.Refused{}
	if _, err := here.Finish(t.Context(), attempt, answer); !errors.As(err, &refused) || refused.Reason != oidc.RefusedByIssuer {
		t.Errorf("a second time: %v", err)
	}
}

// Every attempt has its own secrets, and the address does not contain the verifier.
func TestAnAttemptIsOfItsOwn(t *testing.T) {
	_, here := issuer(t)
	one, to, err := here.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	two, _, err := here.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if one.State == two.State || one.Nonce == two.Nonce || one.Verifier == two.Verifier {
		t.Errorf("%+v and %+v", one, two)
	}
	q := asked(t, to)
	if strings.Contains(to, one.Verifier) || q.Get("code_challenge_method") != "S256" || q.Get("redirect_uri") != "http://postern.example/back" || q.Get("scope") != "openid email" {
		t.Errorf("it asks for %s", to)
	}
}

// An unavailable issuer gives ErrUnreachable each time, in between and at the beginning.
func TestTheIssuerIsAway(t *testing.T) {
	there, here := issuer(t)
	attempt, to, err := here.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answer := there.Authorize(asked(t, to))
	there.Leave()
	if _, err := here.Finish(t.Context(), attempt, answer); !errors.Is(err, oidc.ErrUnreachable) {
		t.Errorf("in between: %v", err)
	}
	gone := oidc.New(oidc.Config{Issuer: there.URL, ClientID: "x", RedirectURL: "x"})
	for range 2 {
		if _, _, err := gone.Begin(t.Context()); !errors.Is(err, oidc.ErrUnreachable) {
			t.Errorf("from the beginning: %v", err)
		}
	}
}
