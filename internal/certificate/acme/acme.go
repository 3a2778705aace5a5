// Package acme gets certificates from an ACME server (RFC 8555), such as Let's Encrypt or a
// clinic's own, and renews them.
//
// It proves the control of a name by TLS-ALPN-01 alone: the ACME server connects to port 443 of
// the name, so no second port must be open. The account's key and the certificates are kept in a
// folder, because ACME servers limit how often they issue one. Several processes may share it.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// requestTimeout is how long one request to the ACME server may take.
const requestTimeout = 30 * time.Second

// checkEvery is how often the certificates are looked at when no client asks for them.
const checkEvery = time.Hour

// Config configures [Names].
type Config struct {
	// Names are the host names to get certificates for.
	Names []string
	// Email is where the ACME server sends warnings; it may be empty.
	Email string
	// Directory is the address of the ACME server's directory.
	Directory string
	// CAFile holds the authority that signed the certificate of the ACME server itself, as PEM;
	// empty: the authorities of this machine.
	CAFile string
	// Folder keeps the account's key and the certificates. It is created if necessary.
	Folder string
	Logger *slog.Logger
}

// Names are host names with their certificates. They are safe for concurrent use.
type Names struct {
	cfg     Config
	manager *autocert.Manager

	mu      sync.Mutex
	expires map[string]time.Time
	fault   error
}

// New prepares the certificates. The first handshake with a name gets its certificate, unless
// [Names.Run] has got it before.
func New(cfg Config) (*Names, error) {
	client := &http.Client{Timeout: requestTimeout}
	if cfg.CAFile != "" {
		authorities, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the authority of the ACME server: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(authorities) {
			return nil, fmt.Errorf("reading the authority of the ACME server: %s has no certificate in PEM", cfg.CAFile)
		}
		client.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	}
	if err := os.MkdirAll(cfg.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("creating the folder of certificates: %w", err)
	}
	return &Names{cfg: cfg, expires: map[string]time.Time{}, manager: &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(cfg.Folder), HostPolicy: autocert.HostWhitelist(cfg.Names...), Email: cfg.Email,
		Client: &acme.Client{DirectoryURL: cfg.Directory, HTTPClient: client, UserAgent: "postern"}}}, nil
}

// TLS returns a configuration for a server with the certificates. It answers the ACME server's
// challenges too.
func (n *Names) TLS() *tls.Config {
	c := n.manager.TLSConfig()
	c.MinVersion = tls.VersionTLS12
	c.GetCertificate = n.get
	return c
}

func (n *Names) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	certificate, err := n.manager.GetCertificate(hello)
	if err == nil && certificate.Leaf != nil && n.has(hello.ServerName) && !isChallenge(hello) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.expires[hello.ServerName] = certificate.Leaf.NotAfter
	}
	return certificate, err
}

func (n *Names) has(name string) bool {
	for _, one := range n.cfg.Names {
		if one == name {
			return true
		}
	}
	return false
}

func isChallenge(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto
}

// Run gets the certificates that are missing, and looks at all of them every hour, until ctx
// ends. Call it when the server accepts connections.
func (n *Names) Run(ctx context.Context) error {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		n.check()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// check gets each certificate as a client with current algorithms would.
func (n *Names) check() {
	var faults []error
	for _, name := range n.cfg.Names {
		_, err := n.get(&tls.ClientHelloInfo{ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13},
			SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, SupportedCurves: []tls.CurveID{tls.CurveP256},
			CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}})
		if err != nil {
			err = fmt.Errorf("getting a certificate for %s from %s: %w: the ACME server must reach port 443 of that name, and this process must answer there", name, n.cfg.Directory, err)
			n.cfg.Logger.Error("no certificate", "reason", err)
			faults = append(faults, err)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault = errors.Join(faults...)
}

// Reload does nothing: certificates are renewed before they expire.
func (n *Names) Reload() {}

// Expires returns when the first of the certificates expires, or the zero time if one is missing.
func (n *Names) Expires() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	var first time.Time
	for _, name := range n.cfg.Names {
		at := n.expires[name]
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.IsZero() {
			return time.Time{}
		}
	}
	return first
}

// Fault returns why a certificate could not be got at the last check.
func (n *Names) Fault() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fault
}
