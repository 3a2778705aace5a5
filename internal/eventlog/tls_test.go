package eventlog_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"postern/internal/certificate/certificatetest"
	"postern/internal/embedded"
	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/eventlogtest"
)

// secured starts a NATS server with a certificate, which asks clients for one of clients, unless
// that is nil.
func secured(t *testing.T, certFile, keyFile string, clients *certificatetest.Authority) (url string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if clients != nil {
		authority, err := os.ReadFile(clients.File)
		if err != nil {
			t.Fatal(err)
		}
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(authority)
	}
	return natstest.Start(t, natstest.Listening(), func(c *embedded.NATSConfig) {
		c.Adjust = func(o *server.Options) { o.TLS, o.TLSConfig, o.TLSTimeout = true, config, 2 }
	}).ClientURL("")
}

// Connections are encrypted, and each failure says in the log which setting to correct.
func TestTLS(t *testing.T) {
	ours, theirs := certificatetest.New(t), certificatetest.New(t)
	cert, key := ours.Issue(t, "127.0.0.1")
	oldCert, oldKey := ours.IssueExpired(t, "127.0.0.1")
	otherCert, otherKey := ours.Issue(t, "nats.clinic.example")
	clientCert, clientKey := ours.Issue(t, "api")
	strangeCert, strangeKey := theirs.Issue(t, "api")
	right := secured(t, cert, key, nil)
	asking := secured(t, cert, key, ours)
	for name, c := range map[string]struct {
		url  string
		tls  eventlog.TLS
		says string // "" where it connects
	}{
		"right":                            {right, eventlog.TLS{CAFile: ours.File}, ""},
		"right, with a client certificate": {asking, eventlog.TLS{CAFile: ours.File, CertFile: clientCert, KeyFile: clientKey}, ""},
		"an unknown authority":             {right, eventlog.TLS{CAFile: theirs.File}, "name the file with the right one in NATS_CA_FILE"},
		"no authority":                     {right, eventlog.TLS{}, "name the file with the right one in NATS_CA_FILE"},
		"another name":                     {secured(t, otherCert, otherKey, nil), eventlog.TLS{CAFile: ours.File}, "use one of its names in NATS_URL"},
		"an expired certificate":           {secured(t, oldCert, oldKey, nil), eventlog.TLS{CAFile: ours.File}, "renew it"},
		"no client certificate":            {asking, eventlog.TLS{CAFile: ours.File}, "set NATS_CERT_FILE and NATS_KEY_FILE"},
		"a client certificate of others":   {asking, eventlog.TLS{CAFile: ours.File, CertFile: strangeCert, KeyFile: strangeKey}, "the server refuses the certificate in NATS_CERT_FILE"},
		"a server without TLS":             {natstest.Start(t, natstest.Listening()).ClientURL(""), eventlog.TLS{CAFile: ours.File}, "the server does not offer TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, logged, err := connect(t, eventlog.Config{URL: c.url, TLS: c.tls}, c.says)
			if c.says != "" {
				// A reason is logged once. A server that asks for a certificate refuses it after the
				// client's part of the handshake (RFC 8446, section 4.4.2.4), so the client may see the
				// end of the connection before the reason.
				said := strings.Count(logged, "waiting for NATS")
				if !errors.Is(err, context.Canceled) || said < 1 || said > 1 && c.url != asking || strings.Count(logged, c.says) != 1 {
					t.Errorf("%v; it logs\n%s", err, logged)
				}
				return
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, logged)
			}
			defer log.Close()
			if _, err := log.Exists(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// connect connects until it succeeds or has logged what is said.
func connect(t *testing.T, c eventlog.Config, said string) (*eventlog.Log, string, error) {
	t.Helper()
	ctx, stop := context.WithCancel(eventlogtest.Within(t, time.Minute))
	defer stop()
	w := &until{text: said, reached: stop}
	c.Name, c.Logger = "test", slog.New(slog.NewTextHandler(w, nil))
	log, err := eventlog.Connect(ctx, c)
	return log, w.String(), err
}

// until is a log that calls reached when it has the text.
type until struct {
	bytes.Buffer
	text    string
	reached func()
}

func (u *until) Write(p []byte) (int, error) {
	if u.text != "" && strings.Contains(string(p), u.text) {
		u.reached()
	}
	return u.Buffer.Write(p)
}

// Files that can't be used are refused at once: waiting does not correct them.
func TestWrongTLSFiles(t *testing.T) {
	a := certificatetest.New(t)
	cert, key := a.Issue(t, "api")
	for name, c := range map[string]struct {
		config eventlog.Config
		says   string
	}{
		"no such authority":   {eventlog.Config{TLS: eventlog.TLS{CAFile: a.File + ".none"}}, "NATS_CA_FILE"},
		"no certificate":      {eventlog.Config{TLS: eventlog.TLS{CAFile: key}}, "NATS_CA_FILE"},
		"no such key":         {eventlog.Config{TLS: eventlog.TLS{CertFile: cert, KeyFile: key + ".none"}}, "NATS_KEY_FILE"},
		"no such credentials": {eventlog.Config{CredentialsFile: cert + ".none"}, "NATS_CREDENTIALS_FILE"},
	} {
		c.config.URL = "nats://127.0.0.1:1"
		if _, err := eventlog.Connect(t.Context(), c.config); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
