package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"postern/internal/access/policy"

	"github.com/jackc/pgx/v5"
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

// CreateToken makes an API token for the staff member with that address, or
// fails with [ErrNoStaff] or [ErrDisabled]. The token can't be shown again.
func (g *Gate) CreateToken(ctx context.Context, email string) (string, error) {
	staff, err := g.StaffByEmail(ctx, email)
	if err != nil {
		return "", err
	}
	if staff.DisabledAt != nil {
		return "", ErrDisabled
	}
	token, digest := newToken(staffTokenPrefix)
	_, err = g.pool.Exec(ctx, `INSERT INTO app.staff_tokens (token_hash, staff_id) VALUES ($1, $2)`, digest, staff.ID)
	if err != nil {
		return "", fmt.Errorf("keeping the token: %w", err)
	}
	return token, nil
}

// RevokeTokens revokes every API token of a staff member and returns their number.
func (g *Gate) RevokeTokens(ctx context.Context, staffID string) (int64, error) {
	tag, err := g.pool.Exec(ctx, `DELETE FROM app.staff_tokens WHERE staff_id = $1`, staffID)
	if err != nil {
		return 0, fmt.Errorf("revoking tokens: %w", err)
	}
	return tag.RowsAffected(), nil
}

// SubjectOfToken returns the staff member to whom the API token belongs, with their current
// permissions. It fails with [policy.ErrUnauthenticated].
func (g *Gate) SubjectOfToken(ctx context.Context, token string) (policy.Subject, error) {
	digest, ok := parseToken(staffTokenPrefix, token)
	if !ok {
		return policy.Subject{}, policy.ErrUnauthenticated
	}
	staff, err := one(ctx, g.pool, policy.ErrUnauthenticated, pgx.RowToStructByPos[Staff],
		selectStaff+` JOIN app.staff_tokens t USING (staff_id) WHERE t.token_hash = $1 AND s.disabled_at IS NULL`, digest)
	if err != nil && !errors.Is(err, policy.ErrUnauthenticated) {
		err = fmt.Errorf("looking up an API token: %w", err)
	}
	return staff.subject(), err
}
