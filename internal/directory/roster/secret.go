package roster

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"postern/internal/directory/block"
)

// depth is the depth of the tree of seeds: 256 salts, more than a block has places.
const depth = 8

// seed is a node of the tree of seeds. It gives two more, and at the lowest level it is a salt.
type seed [sha256.Size]byte

// child returns the left (0) or right (1) seed below. The first byte is none of those that
// begin the leaves (0) and the nodes (1) of the Merkle tree.
func (s seed) child(side int) seed {
	var b [1 + len(s)]byte
	b[0] = byte(2 + side) // #nosec G115 -- 0 or 1
	copy(b[1:], s[:])
	return sha256.Sum256(b[:])
}

// side returns the side on which the path to a place continues at a level, counted from the
// root of the seeds.
func side(place, level int) int { return place >> (depth - 1 - level) & 1 }

// below returns the salt of a place from the seed on its path at a level.
func (s seed) below(level, place int) Salt {
	for ; level < depth; level++ {
		s = s.child(side(place, level))
	}
	return Salt(s)
}

// Salt hides one entry in the root of a roster. Every formatting verb prints a placeholder.
type Salt [sha256.Size]byte

// Format implements fmt.Formatter, so that a salt never appears in a log or an error.
func (Salt) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "roster.Salt(secret)") }

// Secret gives every salt of a roster. Every formatting verb prints a placeholder.
type Secret struct{ root seed }

// Format implements fmt.Formatter, so that a secret never appears in a log or an error.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "roster.Secret(secret)") }

// NewSecret makes a secret.
func NewSecret() (s Secret) {
	_, _ = rand.Read(s.root[:]) // never fails (crypto/rand)
	return s
}

// ParseSecret returns the secret with the bytes that [Secret.Bytes] gave.
func ParseSecret(raw []byte) (s Secret, err error) {
	if len(raw) != len(s.root) {
		return Secret{}, errors.New("the secret of a roster has another length")
	}
	copy(s.root[:], raw)
	return s, nil
}

// Bytes returns the secret itself. Store it only encrypted.
func (s Secret) Bytes() []byte { return s.root[:] }

// Salt returns the salt of a place.
func (s Secret) Salt(place int) Salt { return s.root.below(0, place) }

// salts returns the salts of all places, each seed computed once.
func (s Secret) salts() *[1 << depth]seed {
	var all [1 << depth]seed
	all[0] = s.root
	for step := len(all) / 2; step > 0; step /= 2 {
		for at := 0; at < block.Size; at += 2 * step {
			all[at], all[at+step] = all[at].child(0), all[at].child(1)
		}
	}
	return &all
}

// Remaining is what is left of a secret when one place is forgotten: the salt of every other
// place can still be computed from it, and nothing of the forgotten one. Every formatting verb
// prints a placeholder.
type Remaining struct {
	forgotten int
	siblings  [depth]seed // beside the path to the forgotten place, from the root down
}

// Format implements fmt.Formatter, so that seeds never appear in a log or an error.
func (Remaining) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "roster.Remaining(secret)") }

// Forget returns what remains of the secret without the salt of a place.
func (s Secret) Forget(place int) Remaining {
	r := Remaining{forgotten: place}
	at := s.root
	for level := range depth {
		r.siblings[level] = at.child(1 - side(place, level))
		at = at.child(side(place, level))
	}
	return r
}

// Salt returns the salt of a place, and false for the forgotten one.
func (r Remaining) Salt(place int) (Salt, bool) {
	for level := range depth {
		if side(place, level) != side(r.forgotten, level) {
			return r.siblings[level].below(level+1, place), true
		}
	}
	return Salt{}, false
}
