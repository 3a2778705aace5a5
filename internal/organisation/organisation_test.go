package organisation_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/internal/organisation"
	"postern/internal/organisation/organisationtest"
)

func issuer(t *testing.T) (*organisationtest.Issuer, *organisation.Issuer) {
	t.Helper()
	there := organisationtest.New(t)
	there.Email = "ada@clinic.example"
	return there, organisation.New(organisation.Config{Issuer: there.URL, ClientID: organisationtest.ClientID,
		ClientSecret: organisationtest.ClientSecret, RedirectURL: "http://postern.example/back"})
}

// asked is the query with which somebody comes to the issuer.
func asked(t *testing.T, to string) url.Values {
	t.Helper()
	at, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	return at.Query()
}

// What the issuer answers signs in whom it vouches for, and in everything else that it,
// or somebody in between, may answer, nobody.
func TestWhatTheIssuerAnswers(t *testing.T) {
	claim := func(name string, value any) func(*organisationtest.Issuer) {
		return func(i *organisationtest.Issuer) { i.Spoil = func(c map[string]any) { c[name] = value } }
	}
	answered := func(name, value string) func(organisation.Attempt, url.Values) (organisation.Attempt, url.Values) {
		return func(a organisation.Attempt, q url.Values) (organisation.Attempt, url.Values) {
			q.Set(name, value)
			return a, q
		}
	}
	for _, c := range []struct {
		name    string
		issuer  func(*organisationtest.Issuer)
		between func(organisation.Attempt, url.Values) (organisation.Attempt, url.Values)
		reason  string // "": signed in
	}{
		{"as it should be", nil, nil, ""},
		{"a wrong nonce", claim("nonce", "another"), nil, organisation.InvalidToken},
		{"no nonce", claim("nonce", ""), nil, organisation.InvalidToken},
		{"a wrong state", nil, answered("state", "another"), organisation.WrongState},
		{"no state", nil, answered("state", ""), organisation.WrongState},
		{"the answer to no attempt", nil, func(_ organisation.Attempt, q url.Values) (organisation.Attempt, url.Values) {
			q.Del("state")
			return organisation.Attempt{}, q
		}, organisation.WrongState},
		{"an attempt that took too long", nil, func(a organisation.Attempt, q url.Values) (organisation.Attempt, url.Values) {
			a.Until = time.Now()
			return a, q
		}, organisation.WrongState},
		{"another issuer's answer", nil, answered("iss", "https://evil.example"), organisation.WrongState},
		{"a wrong audience", claim("aud", "another"), nil, organisation.InvalidToken},
		{"ours and another audience, issued to that", func(i *organisationtest.Issuer) {
			i.Spoil = func(c map[string]any) { c["aud"], c["azp"] = []string{organisationtest.ClientID, "another"}, "another" }
		}, nil, organisation.InvalidToken},
		{"a wrong issuer", claim("iss", "https://evil.example"), nil, organisation.InvalidToken},
		{"expired", claim("exp", time.Now().Add(-time.Hour).Unix()), nil, organisation.InvalidToken},
		{"signed by another key", func(i *organisationtest.Issuer) { i.Forge = true }, nil, organisation.InvalidToken},
		{"an unverified e-mail address", func(i *organisationtest.Issuer) { i.Verified = false }, nil, organisation.UnverifiedEmail},
		{"verified by a word", claim("email_verified", "yes"), nil, organisation.InvalidToken},
		{"no e-mail address", claim("email", ""), nil, organisation.UnverifiedEmail},
		{"who was asked says no", nil, answered("error", "access_denied"), organisation.RefusedByIssuer},
		{"a made-up code", nil, answered("code", "another"), organisation.RefusedByIssuer},
		{"a code that another browser asked for", nil, func(a organisation.Attempt, q url.Values) (organisation.Attempt, url.Values) {
			a.Verifier = strings.Repeat("x", 43)
			return a, q
		}, organisation.RefusedByIssuer},
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
			refused := organisation.Refused{}
			switch {
			case c.reason == "" && (err != nil || who.Email != "ada@clinic.example"):
				t.Errorf("got %+v, %v", who, err)
			case c.reason != "" && (!errors.As(err, &refused) || refused.Reason != c.reason || who.Email != ""):
				t.Errorf("got %+v, %v (%s), want %s", who, err, refused.Reason, c.reason)
			}
		})
	}
}

// A code that was used signs nobody in, whoever has it and its attempt.
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
	refused := organisation.Refused{}
	if _, err := here.Finish(t.Context(), attempt, answer); !errors.As(err, &refused) || refused.Reason != organisation.RefusedByIssuer {
		t.Errorf("a second time: %v", err)
	}
}

// No two attempts are alike, and what is secret of one is not in the address.
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

// An issuer that is away is asked again the next time.
func TestTheIssuerIsAway(t *testing.T) {
	there, here := issuer(t)
	attempt, to, err := here.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answer := there.Authorize(asked(t, to))
	there.Leave()
	if _, err := here.Finish(t.Context(), attempt, answer); !errors.Is(err, organisation.ErrAway) {
		t.Errorf("in between: %v", err)
	}
	gone := organisation.New(organisation.Config{Issuer: there.URL, ClientID: "x", RedirectURL: "x"})
	for range 2 {
		if _, _, err := gone.Begin(t.Context()); !errors.Is(err, organisation.ErrAway) {
			t.Errorf("from the beginning: %v", err)
		}
	}
}
