// Package oidctest is an identity provider for tests: discovery, keys, a token
// endpoint that checks PKCE, and an authorization endpoint that signs the person in at
// once.
package oidctest

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// The client that the issuer knows.
const (
	ClientID     = "postern"
	ClientSecret = "a secret between the two" // #nosec G101 -- of a test
)

// Issuer answers as an identity provider does. Its fields set the person who signs in,
// and the errors in its tokens.
type Issuer struct {
	URL string
	// Email is the address of the person who signs in. Verified means that the issuer
	// has verified it.
	Email    string
	Verified bool
	// Subject is the issuer's id of the person; "": "1 " and the address in lower case, so that
	// each address is a person.
	Subject string
	// Name and Groups are in the token if they are set.
	Name   string
	Groups []string
	// Spoil changes the claims of a token before it is signed.
	Spoil func(claims map[string]any)
	// Forge signs with a key that is not the issuer's.
	Forge bool
	Now   func() time.Time

	key, other *rsa.PrivateKey
	server     *httptest.Server
	mu         sync.Mutex
	codes      map[string]url.Values // the authorization request of each unused code
}

// keys are the keys of all issuers of a test's process, because making one takes a while.
var keys = sync.OnceValues(func() (made [2]*rsa.PrivateKey, err error) {
	for n := range made {
		if made[n], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return made, err
		}
	}
	return made, nil
})

// New starts an issuer that stops at the end of the test.
func New(t testing.TB) *Issuer {
	t.Helper()
	made, err := keys()
	if err != nil {
		t.Fatal(err)
	}
	i := &Issuer{Verified: true, Now: time.Now, codes: map[string]url.Values{}, key: made[0], other: made[1]}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token",
			"jwks_uri": i.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &i.key.PublicKey, KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /token", i.token)
	i.server = httptest.NewServer(mux)
	i.URL = i.server.URL
	t.Cleanup(i.server.Close)
	return i
}

// Leave stops the issuer: it answers no further requests.
func (i *Issuer) Leave() { i.server.Close() }

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// Authorize signs the person in and returns the query with which the issuer redirects
// back. asked is the query of the authorization request.
func (i *Issuer) Authorize(asked url.Values) url.Values {
	i.mu.Lock()
	defer i.mu.Unlock()
	code := rand.Text()
	i.codes[code] = asked
	return url.Values{"code": {code}, "state": {asked.Get("state")}, "iss": {i.URL}}
}

// authorize signs in every browser that comes with a well-formed request.
func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" {
		http.Error(w, "wrong request", http.StatusBadRequest)
		return
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+i.Authorize(q).Encode(), http.StatusFound) // #nosec G710 -- a test's
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if id != ClientID || secret != url.QueryEscape(ClientSecret) {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	i.mu.Lock()
	asked := i.codes[r.FormValue("code")]
	delete(i.codes, r.FormValue("code"))
	i.mu.Unlock()
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if asked == nil || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) || r.FormValue("redirect_uri") != asked.Get("redirect_uri") {
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	signed, err := i.sign(asked.Get("nonce"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, http.StatusOK, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 60, "id_token": signed})
}

func (i *Issuer) sign(nonce string) (string, error) {
	now := i.Now()
	claims := map[string]any{"iss": i.URL, "aud": ClientID, "sub": cmp.Or(i.Subject, "1 "+strings.ToLower(i.Email)), "nonce": nonce, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		"email": i.Email, "email_verified": i.Verified}
	if i.Name != "" {
		claims["name"] = i.Name
	}
	if i.Groups != nil {
		claims["groups"] = i.Groups
	}
	if i.Spoil != nil {
		i.Spoil(claims)
	}
	key := i.key
	if i.Forge {
		key = i.other
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}
