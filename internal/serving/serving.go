// Package serving says how a process is reached over HTTP: with which certificate, what it answers
// to a request that was not encrypted, and which requests come from the inside.
//
// A process listens in plain HTTP on a loopback address, or behind a proxy that ends TLS, or it
// has a certificate. Package config refuses anything else.
package serving

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/inbound"
	"postern/internal/problem"
	"postern/internal/problem/document"
)

// Certificates are those of a server: files, or names whose certificates come from an ACME server.
type Certificates interface {
	// TLS returns the server's configuration.
	TLS() *tls.Config
	// Run does what the certificates need until ctx ends. It begins when the server accepts
	// connections.
	Run(ctx context.Context) error
	// Reload reads the certificates again.
	Reload()
	// Expires returns when the first of them expires; the zero time if one is missing.
	Expires() time.Time
	// Fault returns what the operator must correct, although the server serves; nil for nothing.
	Fault() error
}

// Transport says how requests reach a process.
type Transport struct {
	// PublicURL is the address at which people reach it.
	PublicURL string
	// BehindProxy is set if a proxy ends TLS. X-Forwarded-Proto of the trusted proxies then says
	// how a request reached the proxy. Without trusted proxies, nothing says it.
	BehindProxy bool
	Trusted     inbound.Proxies
	// Subdomains is set if browsers must use https alone for all subdomains of PUBLIC_URL's host
	// too.
	Subdomains bool
}

// hsts makes browsers use https alone for two years. Subdomains of PUBLIC_URL's host may belong to
// others, who have no https: the operator says that they may be covered too (RFC 6797, 6.1.2).
const (
	hsts              = "max-age=63072000"
	includeSubdomains = "; includeSubDomains"
)

// how a request was sent by its client.
type how int

const (
	unknown     how = iota // nothing trusted says it
	encrypted              // by https
	unencrypted            // by http, over a network
	unsaid                 // a trusted proxy, which should say it, does not
)

// Require refuses requests that were not encrypted on their way, if PUBLIC_URL is an https
// address. A page is redirected there; any other request may already have told its secrets, and is
// refused. Answers to encrypted requests tell the browser to use https alone.
//
// /healthz and /readyz are answered to everyone.
func (t Transport) Require(next http.Handler) http.Handler {
	https := strings.HasPrefix(t.PublicURL, "https://")
	policy := hsts
	if t.Subdomains {
		policy += includeSubdomains
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		way := t.way(r)
		if way == encrypted {
			w.Header().Set("Strict-Transport-Security", policy)
		}
		switch {
		case !https || way == encrypted || way == unknown || r.URL.Path == "/healthz" || r.URL.Path == "/readyz":
			next.ServeHTTP(w, r)
		case way == unsaid:
			document.Write(w, document.From(problem.NotEncrypted.Problem(
				"The proxy in front of this process does not say whether the request was encrypted: make it set X-Forwarded-Proto.")))
		case isPage(r):
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, t.public(r), http.StatusPermanentRedirect)
		default:
			document.Write(w, document.From(problem.NotEncrypted.Problem(
				"Send it to "+t.PublicURL+". If it had a password or a token, others may have read it: replace it.")))
		}
	})
}

// public returns the address of the request at PUBLIC_URL.
func (t Transport) public(r *http.Request) string {
	to := strings.TrimSuffix(t.PublicURL, "/") + "/" + strings.TrimLeft(r.URL.EscapedPath(), `/\`)
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	return to
}

// isPage reports whether a request reads a page, so that a redirect brings its person further.
func isPage(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Authorization") == "" &&
		!strings.HasPrefix(r.URL.Path, "/v1/") && !strings.HasPrefix(r.URL.Path, "/webhooks/")
}

func (t Transport) way(r *http.Request) how {
	peer := peerOf(r)
	if t.BehindProxy && slices.ContainsFunc(t.Trusted, func(network netip.Prefix) bool { return network.Contains(peer) }) {
		said := forwardedProto(r)
		switch {
		case len(said) == 0:
			return unsaid
		case slices.ContainsFunc(said, func(proto string) bool { return !strings.EqualFold(proto, "https") }):
			return unencrypted
		default:
			return encrypted
		}
	}
	switch {
	case r.TLS != nil:
		return encrypted
	case !t.BehindProxy || len(t.Trusted) == 0 || peer.IsLoopback():
		return unknown
	default:
		return unencrypted // past the proxy
	}
}

// forwardedProto returns the protocols that the proxies on the way report.
func forwardedProto(r *http.Request) (all []string) {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("X-Forwarded-Proto"), ","), ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

// ofProxies are the headers by which a proxy says that it passes on a request.
var ofProxies = []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip"}

// Inside reports whether a request was made on this machine, and not passed on by a proxy on it.
// Only such a request learns why the process is not ready.
func Inside(r *http.Request) bool {
	return peerOf(r).IsLoopback() && !slices.ContainsFunc(ofProxies, func(name string) bool { return len(r.Header.Values(name)) > 0 })
}

// peerOf returns the address of the connection.
func peerOf(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap().WithZone("")
}
