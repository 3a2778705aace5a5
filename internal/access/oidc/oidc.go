// Package oidc signs staff in through the clinic's own identity provider, the issuer.
// It uses the authorization code flow of OpenID Connect Core 1.0, section 3.1, as RFC
// 9700 advises: with PKCE, with a state and a nonce that are bound to the browser, and
// with an attempt that can be used once.
//
//	attempt, to, err := issuer.Begin(ctx)            // keep the attempt, redirect to the address
//	who, err := issuer.Finish(ctx, attempt, query)   // with the query of the request that comes back
//
// The package identifies a person by the issuer and the issuer's id of them (iss and sub); it
// does not decide whether that person may sign in. It keeps no token of the issuer. An Issuer is safe for concurrent use. It sends no
// request to the issuer before the first sign-in, so everything else works while the
// issuer is unavailable.
package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// ErrUnreachable means that the issuer gave no answer, or an invalid one.
var ErrUnreachable = errors.New("your organisation's sign-in can't be reached right now: try again in a moment, or sign in with your password")

// Refused is the error for an answer of the issuer that does not sign the person in.
type Refused struct {
	Reason string // one of the reasons below, for the record
	cause  error
}

func (r Refused) Error() string {
	if r.Reason == NoSecondFactor {
		return "your organisation did not ask you for a second factor, which your clinic requires: set one up there and start again, or sign in with your password"
	}
	return "your organisation did not sign you in: start again, or sign in with your password"
}

// Unwrap returns the cause, for the log. It is nil if Reason says everything.
func (r Refused) Unwrap() error { return r.cause }

// The reasons of [Refused].
const (
	WrongState      = "wrong_state"       // the answer belongs to another attempt or another browser, or is too late
	RefusedByIssuer = "refused_by_issuer" // the person or the issuer said no, or the code was already used
	InvalidToken    = "invalid_token"     // the ID token is not valid
	NoSecondFactor  = "no_second_factor"  // the issuer does not say that the person gave a second factor
)

const (
	requestTimeout = 10 * time.Second // for each request to the issuer
	attemptTimeout = 10 * time.Minute // from Begin to Finish
)

// CallbackPath is the path of the redirect URI: the URI is PUBLIC_URL followed by it.
const CallbackPath = "/sign-in/organisation/back"

// Config names the issuer, and the client that we are registered as.
type Config struct {
	Issuer, ClientID, ClientSecret string
	// RedirectURL is the redirect URI, as it is registered at the issuer.
	RedirectURL string
	// Scopes are asked for besides openid and email.
	Scopes []string
	// GroupsClaim is the claim with the person's groups; "": groups are not read.
	GroupsClaim string
	// SecondFactor is the evidence of a second factor that is required.
	SecondFactor SecondFactor
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// SecondFactor is what an ID token must say of how the person signed in at the issuer. The
// zero SecondFactor requires nothing.
type SecondFactor struct {
	// Methods requires one of the methods in factorMethods, by the claim amr.
	Methods bool
	// Classes requires one of these values of the claim acr, and asks the issuer for them.
	Classes []string
}

// factorMethods are the values of amr (RFC 8176) that say that a second factor was given:
// several factors, a one-time code, or a key in hardware.
var factorMethods = []string{"mfa", "otp", "hwk"}

// ParseSecondFactor reads "false", "true" for [SecondFactor.Methods], or the values of
// [SecondFactor.Classes], comma-separated.
func ParseSecondFactor(setting string) SecondFactor {
	switch setting {
	case "", "false":
		return SecondFactor{}
	case "true":
		return SecondFactor{Methods: true}
	}
	var f SecondFactor
	for class := range strings.SplitSeq(setting, ",") {
		f.Classes = append(f.Classes, strings.TrimSpace(class))
	}
	return f
}

// shown reports whether a token with these claims shows the second factor.
func (f SecondFactor) shown(methods []string, class string) bool {
	if f.Methods && !slices.ContainsFunc(methods, func(m string) bool { return slices.Contains(factorMethods, m) }) {
		return false
	}
	return len(f.Classes) == 0 || slices.Contains(f.Classes, class)
}

// Issuer is an identity provider.
type Issuer struct {
	cfg    Config
	client *http.Client

	found atomic.Pointer[oidc.Provider] // nil until discovery has succeeded
}

// New returns an Issuer. It does no I/O.
func New(cfg Config) *Issuer {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Issuer{cfg: cfg, client: &http.Client{Timeout: requestTimeout, CheckRedirect: stay}}
}

// stay follows no redirect: requests have the client's secret, and go to the addresses that the
// issuer's document names.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Attempt is one sign-in that a browser has started. The caller keeps it for that
// browser only, and for one answer.
type Attempt struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"`
	Until    time.Time `json:"until"`
	Next     string    `json:"next,omitempty"` // the address to open after the sign-in
}

// Identity is a person whom the issuer has authenticated. Issuer and Subject together identify
// them, and never change. Everything else may change, and is what the issuer says today.
type Identity struct {
	Issuer, Subject string
	Email           string // verified by the issuer; "": there is none that is
	Name            string // may be empty
	// Groups are the groups of the person. If GroupsLeftOut is set, the issuer did not name
	// them, because they are too many for a token.
	Groups        []string
	GroupsLeftOut bool
}

// Begin starts an attempt and returns the issuer's address where the person signs in.
// The attempt is valid for 10 minutes. Begin fails with [ErrUnreachable].
func (i *Issuer) Begin(ctx context.Context) (Attempt, string, error) {
	issuer, err := i.find(ctx)
	if err != nil {
		return Attempt{}, "", err
	}
	a := Attempt{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Until: i.cfg.Now().Add(attemptTimeout)}
	options := []oauth2.AuthCodeOption{oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)}
	if classes := i.cfg.SecondFactor.Classes; len(classes) > 0 {
		options = append(options, oauth2.SetAuthURLParam("acr_values", strings.Join(classes, " ")))
	}
	return a, i.flow(issuer).AuthCodeURL(a.State, options...), nil
}

// find returns the issuer's configuration. It requests it until the first success, and
// fails with [ErrUnreachable] before that. Concurrent calls may each send a request; one
// answer is kept.
func (i *Issuer) find(ctx context.Context) (*oidc.Provider, error) {
	if found := i.found.Load(); found != nil {
		return found, nil
	}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, i.client), i.cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrUnreachable, err)
	}
	i.found.Store(found)
	return found, nil
}

func (i *Issuer) flow(issuer *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{ClientID: i.cfg.ClientID, ClientSecret: i.cfg.ClientSecret, Endpoint: issuer.Endpoint(),
		RedirectURL: i.cfg.RedirectURL, Scopes: append([]string{oidc.ScopeOpenID, "email"}, i.cfg.Scopes...)}
}

// Finish returns the identity that the issuer's answer to an attempt proves. answer is
// the query of the request that comes back. Finish fails with [Refused] or [ErrUnreachable].
// The caller must have deleted the stored attempt before, so that a second answer finds
// none.
func (i *Issuer) Finish(ctx context.Context, a Attempt, answer url.Values) (Identity, error) {
	if a.State == "" || subtle.ConstantTimeCompare([]byte(a.State), []byte(answer.Get("state"))) != 1 || !i.cfg.Now().Before(a.Until) {
		return Identity{}, Refused{WrongState, nil}
	}
	// RFC 9207: the answer must come from the issuer that we asked.
	if iss := answer.Get("iss"); iss != "" && iss != i.cfg.Issuer {
		return Identity{}, Refused{WrongState, fmt.Errorf("the answer comes from %.200q", iss)}
	}
	if refusal := answer.Get("error"); refusal != "" {
		return Identity{}, Refused{RefusedByIssuer, fmt.Errorf("the issuer says %.200q", refusal)}
	}
	issuer, err := i.find(ctx)
	if err != nil {
		return Identity{}, err
	}
	ctx = oidc.ClientContext(ctx, i.client)
	tokens, err := i.flow(issuer).Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(a.Verifier))
	if refusal := (*oauth2.RetrieveError)(nil); errors.As(err, &refusal) && refusal.Response.StatusCode < http.StatusInternalServerError {
		return Identity{}, Refused{RefusedByIssuer, fmt.Errorf("the issuer says %.200q", refusal.ErrorCode)}
	}
	if err != nil {
		return Identity{}, fmt.Errorf("%w (%w)", ErrUnreachable, err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	return i.verify(ctx, issuer, a, raw)
}

// verify checks the ID token as section 3.1.3.7 of OpenID Connect Core requires.
func (i *Issuer) verify(ctx context.Context, issuer *oidc.Provider, a Attempt, raw string) (Identity, error) {
	token, err := issuer.Verifier(&oidc.Config{ClientID: i.cfg.ClientID, Now: i.cfg.Now}).Verify(ctx, raw)
	if err != nil {
		return Identity{}, Refused{InvalidToken, err}
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(a.Nonce)) != 1 {
		return Identity{}, Refused{InvalidToken, errors.New("the nonce belongs to another attempt")}
	}
	var claims struct {
		Email    string   `json:"email"`
		Verified bool     `json:"email_verified"`
		Name     string   `json:"name"`
		For      string   `json:"azp"`
		Class    string   `json:"acr"`
		Methods  []string `json:"amr"`
	}
	if err := token.Claims(&claims); err != nil {
		return Identity{}, Refused{InvalidToken, err}
	}
	if claims.For != "" && claims.For != i.cfg.ClientID {
		return Identity{}, Refused{InvalidToken, errors.New("the token was issued to another client")}
	}
	if token.Subject == "" {
		return Identity{}, Refused{InvalidToken, errors.New("the token names no person")}
	}
	if !i.cfg.SecondFactor.shown(claims.Methods, claims.Class) {
		return Identity{}, Refused{NoSecondFactor, fmt.Errorf("amr is %.200q and acr is %.200q", claims.Methods, claims.Class)}
	}
	who := Identity{Issuer: token.Issuer, Subject: token.Subject, Name: claims.Name}
	if claims.Verified {
		who.Email = claims.Email
	}
	if who.Groups, who.GroupsLeftOut, err = i.groupsOf(token); err != nil {
		return Identity{}, Refused{InvalidToken, err}
	}
	return who, nil
}

// groupsOf reads the groups of a token: a list of names, or one name. A token without the
// claim means that the person is in no group, unless it says that the claim is elsewhere
// (OpenID Connect Core, section 5.6.2), as Microsoft's does for a person in many groups.
func (i *Issuer) groupsOf(token *oidc.IDToken) (groups []string, leftOut bool, err error) {
	if i.cfg.GroupsClaim == "" {
		return nil, false, nil
	}
	var claims map[string]json.RawMessage
	if err := token.Claims(&claims); err != nil {
		return nil, false, err
	}
	value, given := claims[i.cfg.GroupsClaim]
	if !given {
		var elsewhere struct {
			Names map[string]string `json:"_claim_names"`
		}
		err := token.Claims(&elsewhere)
		_, leftOut = elsewhere.Names[i.cfg.GroupsClaim]
		return nil, leftOut, err
	}
	var single string
	if json.Unmarshal(value, &single) == nil {
		return []string{single}, false, nil
	}
	if err := json.Unmarshal(value, &groups); err != nil {
		return nil, false, fmt.Errorf("the claim %q is not a list of names", i.cfg.GroupsClaim)
	}
	return groups, false, nil
}
