package provider_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The clients of the provider: Postern, and another application of the same organisation.
const (
	clientID, clientSecret = "postern", "a secret between the two" // #nosec G101 -- of a test
	otherID, otherSecret   = "canteen", "another secret"           // #nosec G101 -- of a test
)

// A person has an account at the provider.
type person struct {
	storage.User
	groups []string
}

// A provider is the OpenID provider of github.com/zitadel/oidc, with its storage in memory. The
// protocol is the library's. Ours are the two pages that every provider has of its own, the
// sign-in and the consent, and the people.
type provider struct {
	*storage.Storage
	url string
	op  *op.Provider

	mu        sync.Mutex
	people    map[string]*person // by username
	consented map[string]bool    // by authorization request
	keys      []key              // the last one signs
	inject    []byte             // what the token endpoint answers next, in place of its own answer
}

// newProvider starts a provider at which Postern is registered with this redirect URI.
func newProvider(t *testing.T, redirectURI string) *provider {
	t.Helper()
	p := &provider{people: map[string]*person{}, consented: map[string]bool{}}
	p.rotate(t)
	p.Storage = storage.NewStorageWithClients(p, map[string]*storage.Client{
		clientID: storage.WebClient(clientID, clientSecret, redirectURI),
		otherID:  storage.WebClient(otherID, otherSecret, redirectURI),
	})
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.url = server.URL
	var err error
	p.op, err = op.NewProvider(&op.Config{CryptoKey: [32]byte{1}, CodeMethodS256: true}, p, op.StaticIssuer(p.url), op.WithAllowInsecure())
	if err != nil {
		t.Fatal(err)
	}
	back := op.NewIssuerInterceptor(p.op.IssuerFromRequest).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, op.AuthCallbackURL(p.op)(r.Context(), r.FormValue("id")), http.StatusFound)
	})
	mux.HandleFunc("GET /login/username", func(w http.ResponseWriter, r *http.Request) {
		form(w, "Sign in", "/login/username", r.FormValue("authRequestID"), `<input name="username"><input name="password" type="password">`)
	})
	mux.HandleFunc("POST /login/username", func(w http.ResponseWriter, r *http.Request) {
		if err := p.CheckUsernamePassword(r.FormValue("username"), r.FormValue("password"), r.FormValue("id")); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		form(w, "Postern asks for your name and e-mail address", "/consent", r.FormValue("id"), `<button name="answer" value="allow"></button><button name="answer" value="deny"></button>`)
	})
	mux.HandleFunc("POST /consent", func(w http.ResponseWriter, r *http.Request) {
		id := r.FormValue("id")
		if r.FormValue("answer") != "allow" {
			asked, err := p.AuthRequestByID(r.Context(), id)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			op.AuthRequestError(w, r, asked, oidc.ErrAccessDenied().WithDescription("the person said no"), p.op)
			return
		}
		p.mu.Lock()
		p.consented[id] = true
		p.mu.Unlock()
		back(w, r)
	})
	mux.HandleFunc("POST /oauth/token", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		answer := p.inject
		p.inject = nil
		p.mu.Unlock()
		if answer == nil {
			p.op.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.Copy(w, bytes.NewReader(answer))
	})
	mux.Handle("/", p.op)
	return p
}

// form is a page with one form, which goes on with an authorization request.
func form(w http.ResponseWriter, title, action, id, fields string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprintf(w, `<html><title>%s</title><form method="post" action="%s"><input type="hidden" name="id" value="%s">%s</form></html>`,
		html.EscapeString(title), action, html.EscapeString(id), fields)
}

// add gives a person an account, whose password is the username.
func (p *provider) add(id, username, email string, groups ...string) *person {
	p.mu.Lock()
	defer p.mu.Unlock()
	who := &person{User: storage.User{ID: id, Username: username, Password: username, FirstName: username, LastName: "Example", Email: email, EmailVerified: true}, groups: groups}
	p.people[username] = who
	return who
}

// change changes an account of a person.
func (p *provider) change(who *person, change func(*person)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(who)
}

// answerNext makes the token endpoint answer the next request with an answer that it gave to
// another.
func (p *provider) answerNext(answer []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inject = answer
}

// GetUserByID, GetUserByUsername and ExampleClientID make it a [storage.UserStore].
func (p *provider) GetUserByID(id string) *storage.User {
	if who := p.byID(id); who != nil {
		return &who.User
	}
	return nil
}

func (p *provider) byID(id string) *person {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, who := range p.people {
		if who.ID == id {
			copied := *who
			return &copied
		}
	}
	return nil
}

func (p *provider) GetUserByUsername(username string) *storage.User {
	p.mu.Lock()
	defer p.mu.Unlock()
	if who := p.people[username]; who != nil {
		copied := who.User
		return &copied
	}
	return nil
}

func (p *provider) ExampleClientID() string { return "unused" }

// client is a client of the storage whose ID tokens have the claims of its scopes.
type client struct{ op.Client }

func (client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (client) IsScopeAllowed(scope string) bool     { return scope == "groups" }

func (p *provider) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	found, err := p.Storage.GetClientByClientID(ctx, id)
	return client{found}, err
}

// SaveAuthCode gives a code for an authorization request that the person has consented to.
func (p *provider) SaveAuthCode(ctx context.Context, id, code string) error {
	p.mu.Lock()
	consented := p.consented[id]
	p.mu.Unlock()
	if !consented {
		return oidc.ErrAccessDenied()
	}
	return p.Storage.SaveAuthCode(ctx, id, code)
}

// SetUserinfoFromRequest sets what the ID token says of a person.
func (p *provider) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, request op.IDTokenRequest, scopes []string) error {
	if err := p.Storage.SetUserinfoFromRequest(ctx, info, request, scopes); err != nil {
		return err
	}
	if who := p.byID(request.GetSubject()); slices.Contains(scopes, "groups") {
		info.AppendClaims("groups", who.groups)
	}
	return nil
}

// A key signs ID tokens.
type key struct {
	id      string
	private *rsa.PrivateKey
}

func (k key) ID() string                                  { return k.id }
func (k key) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k key) Key() any                                    { return k.private }

// A public key is one as the provider publishes it.
type public struct{ key }

func (public) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (public) Use() string                        { return "sig" }
func (k public) Key() any                         { return &k.private.PublicKey }

// rotate gives the provider a new key, which signs from now on, and takes the others away.
func (p *provider) rotate(t *testing.T) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = []key{{rand.Text(), private}}
}

func (p *provider) SigningKey(context.Context) (op.SigningKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[len(p.keys)-1], nil
}

func (p *provider) KeySet(context.Context) ([]op.Key, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []op.Key
	for _, k := range p.keys {
		all = append(all, public{k})
	}
	return all, nil
}
