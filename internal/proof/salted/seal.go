package salted

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// The suite is DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM (RFC 9180, section 7).
func suite() (hpke.KEM, hpke.KDF, hpke.AEAD) {
	return hpke.DHKEM(ecdh.X25519()), hpke.HKDFSHA256(), hpke.AES256GCM()
}

// purpose is the HPKE info: a seed sealed for another purpose can't be opened as one of ours.
var purpose = []byte("postern: the seed of entries")

// PublicKey seals seeds.
type PublicKey struct {
	key hpke.PublicKey
	id  KeyID
}

// KeyID identifies a key pair: the beginning of the SHA-256 of its public key.
type KeyID [8]byte

// ParsePublicKey returns the key with the bytes that [PublicKey.Bytes] gave.
func ParsePublicKey(raw []byte) (*PublicKey, error) {
	kem, _, _ := suite()
	key, err := kem.NewPublicKey(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the public key that seals seeds: %w", err)
	}
	return ofHPKE(key), nil
}

func ofHPKE(key hpke.PublicKey) *PublicKey {
	sum := sha256.Sum256(key.Bytes())
	return &PublicKey{key, KeyID(sum[:len(KeyID{})])}
}

// Bytes returns the public key.
func (k *PublicKey) Bytes() []byte { return k.key.Bytes() }

// ID returns the id of the key pair.
func (k *PublicKey) ID() KeyID { return k.id }

// Seal encrypts a seed. The result begins with the id of the key.
func (k *PublicKey) Seal(s Seed) ([]byte, error) {
	_, kdf, aead := suite()
	sealed, err := hpke.Seal(k.key, kdf, aead, purpose, s.secret[:])
	if err != nil {
		return nil, fmt.Errorf("sealing the seed of entries: %w", err)
	}
	return append(k.id[:], sealed...), nil
}

// PrivateKey opens seeds. Every formatting verb prints a placeholder.
type PrivateKey struct {
	key hpke.PrivateKey
	id  KeyID
}

// Format implements fmt.Formatter, so that a key never appears in a log or an error.
func (*PrivateKey) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "salted.PrivateKey(secret)")
}

// NewKey makes a key pair.
func NewKey() (*PrivateKey, error) {
	kem, _, _ := suite()
	key, err := kem.GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("making the key that opens seeds: %w", err)
	}
	return &PrivateKey{key, ofHPKE(key.PublicKey()).id}, nil
}

// ParsePrivateKey returns the key with the bytes that [PrivateKey.Bytes] gave.
func ParsePrivateKey(raw []byte) (*PrivateKey, error) {
	kem, _, _ := suite()
	key, err := kem.NewPrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the key that opens seeds: %w", err)
	}
	return &PrivateKey{key, ofHPKE(key.PublicKey()).id}, nil
}

// Bytes returns the key itself. Store it only encrypted.
func (k *PrivateKey) Bytes() ([]byte, error) { return k.key.Bytes() }

// Public returns the public key of the pair.
func (k *PrivateKey) Public() *PublicKey { return ofHPKE(k.key.PublicKey()) }

// ErrOtherKey is the error for a seed that was sealed with another key.
var ErrOtherKey = errors.New("the seed of the entries was sealed with another key")

// Open decrypts a seed. An error that is not [ErrOtherKey] says that it was changed.
func (k *PrivateKey) Open(sealed []byte) (s Seed, err error) {
	rest, ours := bytes.CutPrefix(sealed, k.id[:])
	if !ours {
		return Seed{}, ErrOtherKey
	}
	_, kdf, aead := suite()
	secret, err := hpke.Open(k.key, kdf, aead, purpose, rest)
	if err != nil || copy(s.secret[:], secret) != len(s.secret) || len(secret) != len(s.secret) {
		return Seed{}, errors.New("the sealed seed of the entries was changed")
	}
	return s, nil
}
