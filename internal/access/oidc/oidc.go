// Package oidc signs staff in at the clinic's own identity provider, the
// issuer: OpenID Connect Core 1.0, section 3.1, the authorization code flow, as RFC
// 9700 advises: with PKCE, a state and a nonce that are bound to the browser, and an
// attempt that counts once.
//
//	attempt, to, err := issuer.Begin(ctx)            // keep the attempt, lead to the address
//	who, err := issuer.Finish(ctx, attempt, query)   // of the request that comes back
//
// It says who somebody is, and nothing of whether they may come in. It keeps no token
// of the issuer's. An Issuer is safe for concurrent use, and asks the issuer for
// nothing until somebody wants to sign in: while it is away, everything else works.
package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// ErrAway says that the issuer gave no answer, or none that makes sense.
var ErrAway = errors.New("your organisation's sign-in can't be reached right now: try again in a moment, or sign in with your password")

// Refused says why the issuer's answer signs nobody in, in a word for the record.
type Refused struct {
	Reason string
	cause  error
}

func (r Refused) Error() string {
	return "your organisation did not sign you in: begin again, or sign in with your password"
}

// Unwrap gives what is for the log.
func (r Refused) Unwrap() error { return r.cause }

// The reasons.
const (
	WrongState       = "wrong_state"        // the answer is to another question, or to another browser's
	RefusedByIssuer  = "refused_by_issuer"  // who was asked said no, or the code was used before
	InvalidToken     = "invalid_token"      // what says who it is does not hold
	UnverifiedEmail  = "unverified_address" // the issuer does not vouch for the e-mail address
	issuerTimeout    = 10 * time.Second     // for each answer of the issuer's
	attemptUsability = 10 * time.Minute     // how long somebody may take at the issuer
)

// Back is the path at which we are led back to: the redirect URI is PUBLIC_URL and this.
const Back = "/sign-in/organisation/back"

// Config is where the issuer is, and who we are to it.
type Config struct {
	Issuer, ClientID, ClientSecret string
	// RedirectURL is where the issuer leads back to, as it is registered there.
	RedirectURL string
	// Now is the clock; time.Now where it is nil.
	Now func() time.Time
}

// Issuer is an identity provider.
type Issuer struct {
	cfg    Config
	client *http.Client

	found atomic.Pointer[oidc.Provider] // nil until it has answered
}

// New makes an Issuer. It does no I/O.
func New(cfg Config) *Issuer {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Issuer{cfg: cfg, client: &http.Client{Timeout: issuerTimeout}}
}

// Attempt is what one browser has asked of the issuer: it is kept for that browser
// alone, and for one answer.
type Attempt struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"`
	Until    time.Time `json:"until"`
	Next     string    `json:"next,omitempty"` // where it leads afterwards
}

// Identity is whom the issuer vouches for.
type Identity struct{ Email string }

// Begin gives the address at the issuer where somebody signs in. It fails with
// [ErrAway].
func (i *Issuer) Begin(ctx context.Context) (Attempt, string, error) {
	issuer, err := i.find(ctx)
	if err != nil {
		return Attempt{}, "", err
	}
	a := Attempt{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Until: i.cfg.Now().Add(attemptUsability)}
	return a, i.flow(issuer).AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), nil
}

// find fails with [ErrAway] as long as the issuer has never answered. Several may ask
// it at once, and one answer is kept.
func (i *Issuer) find(ctx context.Context) (*oidc.Provider, error) {
	if found := i.found.Load(); found != nil {
		return found, nil
	}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, i.client), i.cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrAway, err)
	}
	i.found.Store(found)
	return found, nil
}

func (i *Issuer) flow(issuer *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{ClientID: i.cfg.ClientID, ClientSecret: i.cfg.ClientSecret, Endpoint: issuer.Endpoint(),
		RedirectURL: i.cfg.RedirectURL, Scopes: []string{oidc.ScopeOpenID, "email"}}
}

// Finish says whom the issuer's answer to an attempt vouches for; answer is the query
// of the request that comes back. It fails with [Refused] or [ErrAway]. Whoever calls
// it has forgotten the attempt before: a second answer finds none.
func (i *Issuer) Finish(ctx context.Context, a Attempt, answer url.Values) (Identity, error) {
	if a.State == "" || subtle.ConstantTimeCompare([]byte(a.State), []byte(answer.Get("state"))) != 1 || !i.cfg.Now().Before(a.Until) {
		return Identity{}, Refused{WrongState, nil}
	}
	// RFC 9207: who answers is whom we asked.
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
		return Identity{}, fmt.Errorf("%w (%w)", ErrAway, err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	return i.verify(ctx, issuer, a, raw)
}

// verify holds the ID token to section 3.1.3.7 of OpenID Connect Core.
func (i *Issuer) verify(ctx context.Context, issuer *oidc.Provider, a Attempt, raw string) (Identity, error) {
	token, err := issuer.Verifier(&oidc.Config{ClientID: i.cfg.ClientID, Now: i.cfg.Now}).Verify(ctx, raw)
	if err != nil {
		return Identity{}, Refused{InvalidToken, err}
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(a.Nonce)) != 1 {
		return Identity{}, Refused{InvalidToken, errors.New("the nonce is another's")}
	}
	var claims struct {
		Email    string `json:"email"`
		Verified bool   `json:"email_verified"`
		For      string `json:"azp"`
	}
	if err := token.Claims(&claims); err != nil {
		return Identity{}, Refused{InvalidToken, err}
	}
	if claims.For != "" && claims.For != i.cfg.ClientID {
		return Identity{}, Refused{InvalidToken, errors.New("it was issued to another")}
	}
	if claims.Email == "" || !claims.Verified {
		return Identity{}, Refused{UnverifiedEmail, nil}
	}
	return Identity{claims.Email}, nil
}
