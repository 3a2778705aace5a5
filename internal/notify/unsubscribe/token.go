// Package unsubscribe lets portal users opt out of alerts and in again: by the link in the
// List-Unsubscribe header of an alert (RFC 8058), which needs no sign-in, or in the portal. An
// opt-out is of the e-mails alone; messages come to the inbox all the same.
//
// # The token
//
// A token is one AES block, so it has a constant size, names no one, and needs no table. It holds
// the number of the portal user, zeros, and a hash of the address that the alert went to. A token is
// good if the zeros are there and the portal user still has that address: who guesses has to hit 96
// bits. All alerts to one person at one address have the same token, which the mailbox knows anyway.
//
// All functions may be called concurrently.
package unsubscribe

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Path is the beginning of the address of the page that a link opens. The token follows it.
const Path = "/stop/"

// TokenSize is the length of a token.
const TokenSize = 22

// Key makes and reads tokens.
type Key struct{ block cipher.Block }

// NewKey returns a key of 32 bytes.
func NewKey(key []byte) (Key, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return Key{}, fmt.Errorf("making the key of links to opt out: %w", err)
	}
	return Key{block}, nil
}

// LoadKey reads the key. A migration makes it.
func LoadKey(ctx context.Context, pool *pgxpool.Pool) (Key, error) {
	var key []byte
	if err := pool.QueryRow(ctx, `SELECT key FROM app.unsubscribe_key`).Scan(&key); err != nil {
		return Key{}, fmt.Errorf("reading the key of links to opt out: %w", err)
	}
	return NewKey(key)
}

// Append appends the token of a portal user at an address.
func (k Key) Append(dst []byte, portalUserNo int32, email string) []byte {
	var b [aes.BlockSize]byte
	binary.BigEndian.PutUint32(b[:], uint32(portalUserNo)) // #nosec G115 -- numbers are positive
	binary.BigEndian.PutUint64(b[8:], hashOf(email))
	k.block.Encrypt(b[:], b[:])
	return base64.RawURLEncoding.AppendEncode(dst, b[:])
}

// open returns the portal user and the hash of the address in a token.
func (k Key) open(token string) (portalUserNo int32, hash uint64, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != aes.BlockSize {
		return 0, 0, false
	}
	k.block.Decrypt(b, b)
	no := binary.BigEndian.Uint32(b)
	return int32(no), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint32(b[4:]) == 0 && no < 1<<31 // #nosec G115 -- checked
}

// hashOf is FNV-1a of an address in lower case. It is encrypted in the token, so it need not keep
// anything secret.
func hashOf(email string) uint64 {
	hash := uint64(14695981039346656037)
	for _, c := range []byte(strings.ToLower(email)) {
		hash = (hash ^ uint64(c)) * 1099511628211
	}
	return hash
}
