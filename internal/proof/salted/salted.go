// Package salted proves single entries of a list without disclosing the others. A list has a
// root, the hash of a Merkle tree (RFC 6962, section 2.1) over its entries. The leaf of an entry
// covers a salt, so that no one who has the root can find out an entry by guessing.
//
// The salts of a list come from one [Seed]. A seed is stored only sealed with a [PublicKey]
// (HPKE, RFC 9180): whoever writes a list can seal its seed, and only the holder of the
// [PrivateKey] can compute its salts, to prove an entry.
//
// All functions are safe for concurrent use.
package salted

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"
)

// Salt hides one entry in the root of a list. Every formatting verb prints a placeholder.
type Salt [sha256.Size]byte

// Format implements fmt.Formatter, so that a salt never appears in a log or an error.
func (Salt) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "salted.Salt(secret)") }

// Seed gives the salts of one list. Every formatting verb prints a placeholder.
type Seed struct{ secret [sha256.Size]byte }

// Format implements fmt.Formatter, so that a seed never appears in a log or an error.
func (Seed) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "salted.Seed(secret)") }

// NewSeed makes a seed. A list never takes the seed of another.
func NewSeed() (s Seed) {
	_, _ = rand.Read(s.secret[:]) // never fails (crypto/rand)
	return s
}

// Salt returns the salt of the entry at a place. The first byte that is hashed is none of those
// that begin the leaves (0) and the nodes (1) of a Merkle tree.
func (s Seed) Salt(at int) Salt {
	var b [1 + len(s.secret) + 8]byte
	b[0] = 4
	copy(b[1:], s.secret[:])
	binary.BigEndian.PutUint64(b[1+len(s.secret):], uint64(at)) // #nosec G115 -- a place
	return sha256.Sum256(b[:])
}

// Leaf returns the leaf of an entry: SHA-256 over 0x00, the salt and the entry.
func Leaf(salt Salt, entry []byte) tlog.Hash {
	var buffer [512]byte
	b := append(append(buffer[:0], 0), salt[:]...)
	return sha256.Sum256(append(b, entry...))
}

// leaves returns the leaves of a list.
func (s Seed) leaves(entries [][]byte) []tlog.Hash {
	all := make([]tlog.Hash, len(entries))
	for i, entry := range entries {
		all[i] = Leaf(s.Salt(i), entry)
	}
	return all
}

// Root returns the root of a list, which has one entry or more.
func (s Seed) Root(entries [][]byte) tlog.Hash { return TreeHash(s.leaves(entries)) }

// Proof proves that a list with a root has an entry.
type Proof struct {
	At    int         `json:"at"` // the place of the entry, from 0
	Salt  []byte      `json:"salt"`
	Entry string      `json:"entry"`
	Path  []tlog.Hash `json:"path"` // from the entry to the root
}

// Prove returns the proof of the entry at a place.
func (s Seed) Prove(entries [][]byte, at int) Proof {
	salt := s.Salt(at)
	return Proof{At: at, Salt: salt[:], Entry: string(entries[at]), Path: Path(at, s.leaves(entries))}
}

// ErrNotProven is wrapped by the error if a proof does not lead to a root.
var ErrNotProven = errors.New("the entry is not in the list")

// Check checks the proof against the root and the number of entries of a list.
func (p *Proof) Check(root tlog.Hash, entries int) error {
	switch {
	case len(p.Salt) != len(Salt{}):
		return fmt.Errorf("%w: its salt has another length", ErrNotProven)
	case p.At < 0 || p.At >= entries:
		return fmt.Errorf("%w: it has %d entries, and no place %d", ErrNotProven, entries, p.At)
	}
	if err := CheckPath(p.Path, root, p.At, entries, Leaf(Salt(p.Salt), []byte(p.Entry))); err != nil {
		return fmt.Errorf("%w: %w", ErrNotProven, err)
	}
	return nil
}

// split returns the largest power of two below n, for n > 1.
func split(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

// TreeHash is the Merkle tree hash of RFC 6962, section 2.1, of one leaf or more.
func TreeHash(leaves []tlog.Hash) tlog.Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := split(len(leaves))
	return tlog.NodeHash(TreeHash(leaves[:k]), TreeHash(leaves[k:]))
}

// Path is the audit path of RFC 6962, section 2.1.1.
func Path(at int, leaves []tlog.Hash) []tlog.Hash {
	if len(leaves) == 1 {
		return []tlog.Hash{}
	}
	k := split(len(leaves))
	if at < k {
		return append(Path(at, leaves[:k]), TreeHash(leaves[k:]))
	}
	return append(Path(at-k, leaves[k:]), TreeHash(leaves[:k]))
}

// CheckPath checks that an audit path leads from a leaf to the root of a tree.
func CheckPath(path []tlog.Hash, root tlog.Hash, at, size int, leaf tlog.Hash) error {
	return tlog.CheckRecord(tlog.RecordProof(path), int64(size), root, int64(at), leaf)
}
