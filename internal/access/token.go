package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// A secret token is a prefix that names its kind, 32 random bytes, and three bytes of
// their CRC-32, so that malformed tokens are refused without a query. The bytes are 56
// letters and digits without padding, and each token has one spelling only. Only the
// SHA-256 of a token is stored.
const (
	staffTokenPrefix = "pst_"
	portalLinkPrefix = "pil_"
	staffLinkPrefix  = "psl_"

	secretBytes = 32
	checkBytes  = 3
)

var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newToken returns a new token and the digest to store.
func newToken(prefix string) (token string, digest []byte) {
	var secret [secretBytes]byte
	_, _ = rand.Read(secret[:]) // never fails, see crypto/rand
	return formatToken(prefix, secret), digestOf(secret[:])
}

func formatToken(prefix string, secret [secretBytes]byte) string {
	return prefix + letters.EncodeToString(append(secret[:], checksum(secret[:])...))
}

// parseToken returns the digest under which the token would be stored, or false if it is
// malformed.
func parseToken(prefix, token string) (digest []byte, ok bool) {
	text, ok := strings.CutPrefix(token, prefix)
	if !ok || len(text) != letters.EncodedLen(secretBytes+checkBytes) {
		return nil, false
	}
	// The decoder skips line breaks; the length check below finds them.
	raw, err := letters.DecodeString(text)
	if err != nil || len(raw) != secretBytes+checkBytes {
		return nil, false
	}
	secret, check := raw[:secretBytes], raw[secretBytes:]
	if string(check) != string(checksum(secret)) {
		return nil, false
	}
	return digestOf(secret), true
}

func checksum(secret []byte) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(secret))[4-checkBytes:]
}

func digestOf(secret []byte) []byte {
	sum := sha256.Sum256(secret)
	return sum[:]
}
