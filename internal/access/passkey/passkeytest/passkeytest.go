// Package passkeytest makes passkeys for tests.
package passkeytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"testing"

	"github.com/descope/virtualwebauthn"
)

// New makes a passkey. It is not virtualwebauthn.NewCredential, which writes a coordinate that
// begins with a zero byte without it, in one of 128 passkeys; such a key is rightly refused
// (RFC 9053, section 7.1.1).
func New(t testing.TB) virtualwebauthn.Credential {
	t.Helper()
	for {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		public, err := key.PublicKey.Bytes() // 4, then the coordinates of 32 bytes each
		if err != nil {
			t.Fatal(err)
		}
		if public[1] == 0 || public[33] == 0 {
			continue
		}
		encoded, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return virtualwebauthn.NewCredentialWithImportedKey(virtualwebauthn.KeyTypeEC2, encoded)
	}
}
