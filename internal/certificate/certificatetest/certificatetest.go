// Package certificatetest makes certificates for tests, as files.
package certificatetest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"postern/internal/certificate"
)

// An Authority issues certificates in a folder of the test.
type Authority struct {
	// File holds the authority's certificate.
	File string

	dir       string
	authority *certificate.Authority
}

// New makes an authority.
func New(t testing.TB) *Authority {
	t.Helper()
	authority, err := certificate.NewAuthority("a test", time.Now().Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	a := &Authority{dir: t.TempDir(), authority: authority}
	a.File = filepath.Join(a.dir, "authority.pem")
	write(t, a.File, authority.PEM())
	return a
}

// Issue issues a certificate for the names, the first of which is the common name.
func (a *Authority) Issue(t testing.TB, names ...string) (certFile, keyFile string) {
	t.Helper()
	return a.issue(t, time.Now().Add(time.Hour), names)
}

// IssueExpired issues a certificate that has expired.
func (a *Authority) IssueExpired(t testing.TB, names ...string) (certFile, keyFile string) {
	t.Helper()
	return a.issue(t, time.Now().Add(-time.Minute), names)
}

func (a *Authority) issue(t testing.TB, until time.Time, names []string) (certFile, keyFile string) {
	t.Helper()
	dir, err := os.MkdirTemp(a.dir, "")
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "certificate.pem"), filepath.Join(dir, "key.pem")
	cert, key, err := a.authority.Issue(certificate.Request{Names: names, Until: until})
	if err != nil {
		t.Fatal(err)
	}
	write(t, certFile, cert)
	write(t, keyFile, key)
	return certFile, keyFile
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
