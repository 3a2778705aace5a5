package acme

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"postern/internal/certificate/certificatetest"
)

const name = "portal.clinic.example"

// A server is Pebble, Let's Encrypt's own ACME server for tests. It looks for every name on this
// machine.
type server struct {
	*httptest.Server
	authority *certificatetest.Authority // of the server's own certificate
	issuer    *ca.CAImpl
}

// start starts a server that finds the port 443 of every name at a port of this machine.
func start(t *testing.T, port int) *server {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	quiet, store := log.New(io.Discard, "", 0), db.NewMemoryStore()
	s := &server{Server: httptest.NewUnstartedServer(nil), authority: certificatetest.New(t)}
	s.issuer = ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: 7776000}})
	frontend := wfe.New(quiet, store, va.New(quiet, 0, port, true, names(t), store), s.issuer, []string{"pebble.letsencrypt.org"}, true, false, 0, 0)
	s.Config.Handler = frontend.Handler()
	pair, err := tls.LoadX509KeyPair(s.authority.Issue(t, "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// names is a name server, over TCP, that finds every name on this machine. It returns its address.
func names(t *testing.T) string {
	t.Helper()
	listener, _ := listen(t)
	started := make(chan struct{})
	s := &dns.Server{Listener: listener, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, asked *dns.Msg) {
		answer := new(dns.Msg).SetReply(asked)
		if q := asked.Question[0]; q.Qtype == dns.TypeA {
			answer.Answer = append(answer.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)})
		}
		_ = w.WriteMsg(answer)
	})}
	ended := make(chan error, 1)
	go func() { ended <- s.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = s.Shutdown(); <-ended })
	return listener.Addr().String()
}

// portal is a server of ours.
type portal struct {
	*Names
	listener net.Listener
	log      bytes.Buffer
}

// listen returns a listener, and its port.
func listen(t *testing.T) (net.Listener, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l, l.Addr().(*net.TCPAddr).Port
}

// serve serves with certificates that are kept in the folder.
func serve(t *testing.T, listener net.Listener, directory, caFile, folder string) *portal {
	t.Helper()
	p := &portal{listener: listener}
	var err error
	p.Names, err = New(Config{Names: []string{name}, Email: "it@clinic.example", Directory: directory, CAFile: caFile, Folder: folder,
		Logger: slog.New(slog.NewTextHandler(&p.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{TLSConfig: p.TLS(), ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	ended := make(chan error, 1)
	go func() { ended <- web.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { _ = web.Close(); <-ended })
	return p
}

// leaf returns the certificate that a client gets for a name.
func (p *portal) leaf(name string) (*x509.Certificate, error) {
	conn, err := tls.Dial("tcp", p.listener.Addr().String(), &tls.Config{ServerName: name, InsecureSkipVerify: true}) // #nosec G402 -- the tests verify it
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// mustBeOf checks that the issuer signed the certificate for the name.
func mustBeOf(t *testing.T, s *server, leaf *x509.Certificate) {
	t.Helper()
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(s.issuer.GetRootCert(0).PEM())
	between.AppendCertsFromPEM(s.issuer.GetIntermediateCert(0).PEM())
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: name}); err != nil {
		t.Error(err)
	}
}

// A real ACME server issues a certificate after its challenge. It is kept, and used after a restart
// without the ACME server.
func TestARealACMEServer(t *testing.T) {
	listener, port := listen(t)
	s, folder := start(t, port), t.TempDir()
	p := serve(t, listener, s.URL+wfe.DirectoryPath, s.authority.File, folder)
	if !p.Expires().IsZero() {
		t.Error("there is a certificate before anyone asked for one")
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := p.Run(ctx); err != nil || p.Fault() != nil {
		t.Fatalf("%v, %v", err, p.Fault())
	}
	first, err := p.leaf(name)
	if err != nil {
		t.Fatal(err)
	}
	mustBeOf(t, s, first)
	if !p.Expires().Equal(first.NotAfter) {
		t.Errorf("it expires at %s, and says %s", first.NotAfter, p.Expires())
	}
	if _, err := p.leaf("other.clinic.example"); err == nil {
		t.Error("a name that no one named gets a certificate")
	}

	s.Close()
	again, _ := listen(t)
	restarted := serve(t, again, s.URL+wfe.DirectoryPath, s.authority.File, folder)
	if second, err := restarted.leaf(name); err != nil || !second.Equal(first) || !restarted.Expires().Equal(first.NotAfter) {
		t.Errorf("after a restart: %v, and it expires at %s", err, restarted.Expires())
	}
	err = filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if info, statErr := os.Stat(path); err == nil && statErr == nil && !d.IsDir() && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others can read %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A kept certificate that has expired is replaced.
func TestAnExpiredCertificateIsReplaced(t *testing.T) {
	listener, port := listen(t)
	s, folder := start(t, port), t.TempDir()
	certFile, keyFile := s.authority.IssueExpired(t, name)
	var kept []byte
	for _, file := range []string{keyFile, certFile} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, data...)
	}
	if err := os.WriteFile(filepath.Join(folder, name), kept, 0o600); err != nil {
		t.Fatal(err)
	}
	leaf, err := serve(t, listener, s.URL+wfe.DirectoryPath, s.authority.File, folder).leaf(name)
	if err != nil {
		t.Fatal(err)
	}
	mustBeOf(t, s, leaf)
}

// Without a certificate the operator learns why.
func TestNoCertificate(t *testing.T) {
	elsewhere, port := listen(t)
	if err := elsewhere.Close(); err != nil {
		t.Fatal(err)
	}
	s, stranger := start(t, port), certificatetest.New(t)
	for what, c := range map[string]struct{ directory, caFile, says string }{
		"the name leads elsewhere":   {s.URL + wfe.DirectoryPath, s.authority.File, "must reach port 443"},
		"no ACME server":             {"https://127.0.0.1:1/dir", s.authority.File, "connection refused"},
		"an ACME server of others":   {s.URL + wfe.DirectoryPath, stranger.File, "certificate signed by unknown authority"},
		"something that is not ACME": {s.URL + "/nothing", s.authority.File, "404"},
	} {
		listener, _ := listen(t)
		p := serve(t, listener, c.directory, c.caFile, t.TempDir())
		p.check()
		if err := p.Fault(); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", what, err)
		}
		if !p.Expires().IsZero() || !strings.Contains(p.log.String(), "no certificate") {
			t.Errorf("%s: expires at %s, and logs %s", what, p.Expires(), &p.log)
		}
	}
}

// A wrong authority of the ACME server is refused at the start.
func TestAWrongAuthority(t *testing.T) {
	_, key := certificatetest.New(t).Issue(t, name)
	for _, file := range []string{key, key + ".none"} {
		if _, err := New(Config{CAFile: file, Folder: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "authority of the ACME server") {
			t.Errorf("%s: %v", file, err)
		}
	}
}
