package process

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/internal/certificate/certificatetest"
	"postern/internal/config"
	"postern/internal/giveup"
	"postern/internal/inbound"
	"postern/internal/telemetry"
)

// secured is a server with a certificate in files.
type secured struct {
	*testing.T
	authority *certificatetest.Authority
	settings  config.Config
	url       string
	client    *http.Client
}

func serveSecured(t *testing.T) *secured {
	t.Helper()
	dir := t.TempDir()
	s := &secured{T: t, authority: certificatetest.New(t),
		settings: config.Config{ListenAddr: "127.0.0.1:0", TLSCertFile: filepath.Join(dir, "c.pem"), TLSKeyFile: filepath.Join(dir, "k.pem")}}
	s.put(s.authority.Issue(t, "first.example.test", "127.0.0.1"))
	s.client = s.trusting(nil)
	certificates, err := certificatesOf(s.settings, config.API, telemetry.New(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server := inbound.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "passed") }), nil, slog.New(slog.DiscardHandler))
	server.Addr = s.settings.ListenAddr
	ctx, stop := context.WithCancel(context.Background())
	ended, serving := make(chan error, 1), make(chan string, 1)
	go func() {
		ended <- serve(ctx, server, certificates, func(url string) error { serving <- url; return nil })
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	s.url = <-serving
	return s
}

// put replaces the files of the certificate by copies.
func (s *secured) put(certFile, keyFile string) {
	s.Helper()
	for from, to := range map[string]string{certFile: s.settings.TLSCertFile, keyFile: s.settings.TLSKeyFile} {
		data, err := os.ReadFile(from)
		if err != nil {
			s.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			s.Fatal(err)
		}
	}
}

// trusting returns a client that trusts the authority, with changes of its configuration.
func (s *secured) trusting(change func(*tls.Config)) *http.Client {
	s.Helper()
	authority, err := os.ReadFile(s.authority.File)
	if err != nil {
		s.Fatal(err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	c.RootCAs.AppendCertsFromPEM(authority)
	if change != nil {
		change(c)
	}
	transport := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	s.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// get returns the answer, without its body, or nil if there is none.
func (s *secured) get(client *http.Client) *http.Response {
	s.Helper()
	resp, err := client.Get(s.url)
	if err != nil {
		return nil
	}
	_ = resp.Body.Close()
	return resp
}

// https is served over HTTP/2 and TLS 1.2 or later.
func TestHTTPS(t *testing.T) {
	s := serveSecured(t)
	if !strings.HasPrefix(s.url, "https://") {
		t.Errorf("it says that it serves %s", s.url)
	}
	if resp := s.get(s.client); resp == nil || resp.ProtoMajor != 2 || resp.TLS.Version != tls.VersionTLS13 {
		t.Errorf("it answers %+v", resp)
	}
	if resp := s.get(s.trusting(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })); resp == nil {
		t.Error("TLS 1.2 is refused")
	}
	if resp := s.get(s.trusting(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })); resp != nil {
		t.Error("TLS 1.1 is accepted")
	}
}

// A person who typed http:// learns what is wrong.
func TestHTTPToHTTPS(t *testing.T) {
	s := serveSecured(t)
	resp, err := http.Get("http" + strings.TrimPrefix(s.url, "https"))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "HTTPS server") {
		t.Errorf("%s: %s", resp.Status, text)
	}
}

// SIGHUP reads the certificate again. A connection that is open stays.
func TestSIGHUPReadsTheCertificateAgain(t *testing.T) {
	s := serveSecured(t)
	name := func() string {
		if resp := s.get(s.client); resp != nil {
			return resp.TLS.PeerCertificates[0].Subject.CommonName
		}
		return ""
	}
	if got := name(); got != "first.example.test" {
		t.Fatalf("it serves %q", got)
	}
	s.put(s.authority.Issue(t, "second.example.test", "127.0.0.1"))
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	deadline, tick := time.After(giveup.After), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for name() != "second.example.test" {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the new certificate is not served within a minute")
		}
	}
}

// A new certificate that can't be used is a warning of /readyz, and the former one stays.
func TestABrokenCertificateIsAWarning(t *testing.T) {
	s := serveSecured(t)
	certificates, err := certificatesOf(s.settings, config.API, telemetry.New(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if warnings := warningsOf(certificates); len(warnings) > 0 {
		t.Errorf("with a right certificate: %v", warnings)
	}
	if err := os.Truncate(s.settings.TLSCertFile, 0); err != nil {
		t.Fatal(err)
	}
	certificates.Reload()
	if warnings := warningsOf(certificates); len(warnings) != 1 || !strings.HasPrefix(warnings[0].String(), "certificate: reading the certificate "+s.settings.TLSCertFile) {
		t.Errorf("with a broken one: %v", warnings)
	}
	if resp := s.get(s.client); resp == nil {
		t.Error("the former certificate is not served")
	}
	if warnings := warningsOf(nil); warnings != nil {
		t.Errorf("without certificates: %v", warnings)
	}
}
