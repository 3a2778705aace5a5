package cli

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The certificates are those of the named hosts, signed by the authority; a second run keeps them,
// and a missing file replaces all of them.
func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	run := func(says string) (authority []byte) {
		t.Helper()
		status, out, errs := newPostern(t).run("", "keys", "certificates", dir, "nats", "postgres")
		if status != exitDone || !strings.Contains(out, says) {
			t.Fatalf("status %d: %s%s", status, out, errs)
		}
		authority, err := os.ReadFile(filepath.Join(dir, "authority", "authority.pem"))
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(authority)
		for _, name := range []string{"nats", "postgres"} {
			key := filepath.Join(dir, name, "key.pem")
			pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name, "certificate.pem"), key)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if info, err := os.Stat(key); err != nil || info.Mode().Perm()&0o137 != 0 {
				t.Errorf("the key of %s can be read by others: %v, %v", name, info.Mode(), err)
			}
		}
		return authority
	}
	first := run("made certificates")
	if again := run("exist already"); string(again) != string(first) {
		t.Error("the second run made another authority")
	}
	if err := os.Remove(filepath.Join(dir, "nats", "key.pem")); err != nil {
		t.Fatal(err)
	}
	if third := run("made certificates"); string(third) == string(first) {
		t.Error("a key was made without an authority")
	}
}
