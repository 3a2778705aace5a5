package certificate_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/certificate"
	"postern/internal/certificate/certificatetest"
)

// pair is a certificate in use, in two files that a test replaces.
type pair struct {
	*testing.T
	authority         *certificatetest.Authority
	certFile, keyFile string
	files             *certificate.Files
	log               bytes.Buffer
}

func newPair(t *testing.T) *pair {
	t.Helper()
	dir := t.TempDir()
	p := &pair{T: t, authority: certificatetest.New(t), certFile: filepath.Join(dir, "c.pem"), keyFile: filepath.Join(dir, "k.pem")}
	p.put(p.authority.Issue(t, "first.example.test"))
	var err error
	if p.files, err = certificate.Load(p.certFile, p.keyFile, slog.New(slog.NewTextHandler(&p.log, nil))); err != nil {
		t.Fatal(err)
	}
	return p
}

// put replaces the files by copies; "" leaves a file as it is.
func (p *pair) put(certFile, keyFile string) {
	p.Helper()
	for from, to := range map[string]string{certFile: p.certFile, keyFile: p.keyFile} {
		if from == "" {
			continue
		}
		data, err := os.ReadFile(from)
		if err != nil {
			p.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			p.Fatal(err)
		}
	}
}

// served is the name in the certificate that a client gets.
func (p *pair) served() string {
	p.Helper()
	served, err := p.files.TLS().GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		p.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(served.Certificate[0])
	if err != nil {
		p.Fatal(err)
	}
	return leaf.Subject.CommonName
}

// A new pair is used after a reload, and without one after a minute at most.
func TestANewPairIsUsed(t *testing.T) {
	p := newPair(t)
	p.put(p.authority.Issue(t, "second.example.test"))
	if got := p.served(); got != "first.example.test" {
		t.Errorf("before the reload it serves %s", got)
	}
	p.files.Reload()
	if got := p.served(); got != "second.example.test" {
		t.Errorf("after the reload it serves %s", got)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- p.files.Run(ctx) }()
		p.put(p.authority.Issue(t, "third.example.test"))
		time.Sleep(time.Minute + time.Second) // of the bubble's clock
		if got := p.served(); got != "third.example.test" {
			t.Errorf("after a minute it serves %s", got)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A pair that can't be used leaves the former one in use, and is reported once. A right pair ends
// the report.
func TestABrokenPairLeavesTheFormerOne(t *testing.T) {
	for name, c := range map[string]struct {
		replace func(*pair)
		says    string
	}{
		"a certificate of another key": {func(p *pair) { cert, _ := p.authority.Issue(p, "other.example.test"); p.put(cert, "") }, "private key does not match"},
		"no certificate":               {func(p *pair) { _ = os.Truncate(p.certFile, 0) }, "give a certificate and the key"},
		"a file that is gone":          {func(p *pair) { _ = os.Remove(p.keyFile) }, "no such file"},
		"an expired certificate":       {func(p *pair) { p.put(p.authority.IssueExpired(p, "old.example.test")) }, "it has expired"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			expires := p.files.Expires()
			c.replace(p)
			p.files.Reload()
			p.files.Reload()
			if got := p.served(); got != "first.example.test" || !p.files.Expires().Equal(expires) {
				t.Errorf("it serves %s until %s", got, p.files.Expires())
			}
			if err := p.files.Fault(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the fault is %v", err)
			}
			if n := strings.Count(p.log.String(), "the former one stays"); n != 1 {
				t.Errorf("it is logged %d times:\n%s", n, &p.log)
			}
			p.put(p.authority.Issue(t, "right.example.test"))
			p.files.Reload()
			if err := p.files.Fault(); err != nil || p.served() != "right.example.test" {
				t.Errorf("with the right pair it serves %s: %v", p.served(), err)
			}
		})
	}
}

// A process starts with an expired certificate, because everything else still works, and says so.
func TestAnExpiredCertificateIsAFault(t *testing.T) {
	certFile, keyFile := certificatetest.New(t).IssueExpired(t, "old.example.test")
	files, err := certificate.Load(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := files.Fault(); err == nil || !strings.Contains(err.Error(), "replace "+certFile) {
		t.Errorf("the fault is %v", err)
	}
}

// Files that can't be used at the start are refused, with what to do.
func TestLoadRefusesAWrongPair(t *testing.T) {
	a := certificatetest.New(t)
	cert, _ := a.Issue(t, "one.example.test")
	_, key := a.Issue(t, "two.example.test")
	for name, files := range map[string][2]string{"of two pairs": {cert, key}, "no file": {cert, cert + ".none"}, "the wrong way round": {key, cert}} {
		if _, err := certificate.Load(files[0], files[1], slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "give a certificate and the key that belongs to it") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
