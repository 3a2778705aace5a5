package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Public is what everyone may have of the record without signing in.
type Public string

// The values of [Public], each with what the one before it has.
const (
	PublicNothing    Public = "nothing"
	PublicKey        Public = "key"        // the keys that verify checkpoints and receipts
	PublicCommitment Public = "commitment" // and the latest [Commitment]
)

// ParsePublic reads a value of [Public]. Its error lists all of them.
func ParsePublic(s string) (Public, error) {
	switch p := Public(s); p {
	case PublicNothing, PublicKey, PublicCommitment:
		return p, nil
	}
	return "", fmt.Errorf("%q must be nothing, key or commitment", s)
}

// Shows reports whether p has what the other value has.
func (p Public) Shows(other Public) bool {
	return p == other || p == PublicCommitment && other == PublicKey
}

// A Commitment binds the clinic to a checkpoint without showing it. It has the SHA-256 of the
// signed text: the signature in it can't be guessed, so the hash says nothing of the size. Whoever
// keeps a commitment can later compare it with the checkpoint that the clinic shows.
type Commitment struct {
	Origin string
	Digest string    // of the signed text, in hex
	Before time.Time // it is the last checkpoint that was signed before this hour
}

// Commit makes the commitment to a signed checkpoint.
func Commit(signed string, before time.Time) Commitment {
	origin, _, _ := strings.Cut(signed, "\n")
	sum := sha256.Sum256([]byte(signed))
	return Commitment{origin, hex.EncodeToString(sum[:]), before.UTC()}
}

// Text is the commitment in four lines.
func (c Commitment) Text() string {
	return fmt.Sprintf("postern checkpoint commitment 1\n%s\n%s\n%s\n", c.Origin, c.Digest, c.Before.Format(time.RFC3339))
}
