package oidc_test

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
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
		{"email_verified is not a boolean", claim("email_verified", "yes"), nil, oidc.InvalidToken},
		{"no person", claim("sub", ""), nil, oidc.InvalidToken},
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
			case c.reason == "" && (err != nil || who.Email != "ada@clinic.example" || who.Subject != "1 ada@clinic.example" || who.Issuer != there.URL):
				t.Errorf("got %+v, %v", who, err)
			case c.reason != "" && (!errors.As(err, &refused) || refused.Reason != c.reason || who.Subject != ""):
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

// signIn signs in at the issuer of a test, with the changed configuration.
func signIn(t *testing.T, set func(*oidctest.Issuer), change func(*oidc.Config)) (oidc.Identity, url.Values, error) {
	t.Helper()
	there := oidctest.New(t)
	there.Email = "ada@clinic.example"
	set(there)
	cfg := oidc.Config{Issuer: there.URL, ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret, RedirectURL: "http://postern.example/back"}
	change(&cfg)
	here := oidc.New(cfg)
	attempt, to, err := here.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	who, err := here.Finish(t.Context(), attempt, there.Authorize(asked(t, to)))
	return who, asked(t, to), err
}

// What identifies a person is there without an address that the issuer has verified.
func TestAnAddressCountsIfItIsVerified(t *testing.T) {
	for _, set := range []func(*oidctest.Issuer){
		func(i *oidctest.Issuer) { i.Verified = false },
		func(i *oidctest.Issuer) { i.Spoil = func(c map[string]any) { delete(c, "email_verified") } },
		func(i *oidctest.Issuer) { i.Spoil = func(c map[string]any) { delete(c, "email") } },
	} {
		who, _, err := signIn(t, set, func(*oidc.Config) {})
		if err != nil || who.Email != "" || who.Subject != "1 ada@clinic.example" {
			t.Errorf("%+v, %v", who, err)
		}
	}
}

// Groups are read from the claim that is named, and from no other.
func TestGroups(t *testing.T) {
	claims := func(all map[string]any) func(*oidctest.Issuer) {
		return func(i *oidctest.Issuer) { i.Spoil = func(c map[string]any) { maps.Copy(c, all) } }
	}
	elsewhere := func(claim string) map[string]any {
		return map[string]any{"_claim_names": map[string]string{claim: "src1"},
			"_claim_sources": map[string]any{"src1": map[string]string{"endpoint": "https://graph.example/groups"}}}
	}
	for _, c := range []struct {
		name, claim string
		issuer      func(*oidctest.Issuer)
		want        []string
		leftOut     bool
		invalid     bool
	}{
		{"a list", "groups", claims(map[string]any{"groups": []string{"nurses", "staff"}}), []string{"nurses", "staff"}, false, false},
		{"a single name", "groups", claims(map[string]any{"groups": "nurses"}), []string{"nurses"}, false, false},
		{"another claim", "roles", claims(map[string]any{"roles": []string{"nurse"}, "groups": []string{"nurses"}}), []string{"nurse"}, false, false},
		{"no claim", "groups", claims(nil), nil, false, false},
		{"not read", "", claims(map[string]any{"groups": 7}), nil, false, false},
		{"too many for a token", "groups", claims(elsewhere("groups")), nil, true, false},
		{"another claim is left out", "groups", claims(elsewhere("roles")), nil, false, false},
		{"not names", "groups", claims(map[string]any{"groups": []any{"nurses", 7}}), nil, false, true},
		{"not a list", "groups", claims(map[string]any{"groups": map[string]any{"nurses": true}}), nil, false, true},
		{"where they are is no map", "groups", claims(map[string]any{"_claim_names": "groups"}), nil, false, true},
	} {
		who, _, err := signIn(t, c.issuer, func(cfg *oidc.Config) { cfg.GroupsClaim = c.claim })
		refused := oidc.Refused{}
		if errors.As(err, &refused) != c.invalid || c.invalid && refused.Reason != oidc.InvalidToken || !c.invalid && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if !slices.Equal(who.Groups, c.want) || who.GroupsLeftOut != c.leftOut {
			t.Errorf("%s: %q, left out: %t", c.name, who.Groups, who.GroupsLeftOut)
		}
	}
}

// A clinic can require that the issuer says that it asked for a second factor.
func TestSecondFactorAtTheIssuer(t *testing.T) {
	for _, c := range []struct {
		setting string
		amr     any
		acr     any
		want    bool
	}{
		{"", nil, nil, true},
		{"false", []string{"pwd"}, nil, true},
		{"true", nil, nil, false},
		{"true", []string{"pwd"}, "silver", false},
		{"true", []string{"pwd", "mfa"}, nil, true},
		{"true", []string{"otp"}, nil, true},
		{"true", []string{"hwk"}, nil, true},
		{"silver, gold", []string{"mfa"}, nil, false},
		{"silver, gold", nil, "bronze", false},
		{"silver, gold", nil, "gold", true},
	} {
		_, asked, err := signIn(t, func(i *oidctest.Issuer) {
			i.Spoil = func(claims map[string]any) {
				if c.amr != nil {
					claims["amr"] = c.amr
				}
				if c.acr != nil {
					claims["acr"] = c.acr
				}
			}
		}, func(cfg *oidc.Config) { cfg.SecondFactor = oidc.ParseSecondFactor(c.setting) })
		refused := oidc.Refused{}
		if errors.As(err, &refused); (err == nil) != c.want || !c.want && refused.Reason != oidc.NoSecondFactor {
			t.Errorf("%q with amr %v and acr %v: %v", c.setting, c.amr, c.acr, err)
		}
		if want := strings.Contains(c.setting, "silver"); want != (asked.Get("acr_values") == "silver gold") {
			t.Errorf("%q asks for the classes %q", c.setting, asked.Get("acr_values"))
		}
	}
}

// Further scopes are asked for after those that are always needed.
func TestScopes(t *testing.T) {
	_, asked, err := signIn(t, func(*oidctest.Issuer) {}, func(cfg *oidc.Config) { cfg.Scopes = []string{"profile", "groups"} })
	if err != nil || asked.Get("scope") != "openid email profile groups" {
		t.Errorf("it asks for %q, %v", asked.Get("scope"), err)
	}
}

// An issuer that redirects elsewhere is not followed.
func TestRedirectsAreNotFollowed(t *testing.T) {
	followed := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer elsewhere.Close()
	there := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer there.Close()
	here := oidc.New(oidc.Config{Issuer: there.URL, ClientID: "x", RedirectURL: "x"})
	if _, _, err := here.Begin(t.Context()); !errors.Is(err, oidc.ErrUnreachable) || followed {
		t.Errorf("%v, followed: %t", err, followed)
	}
}
