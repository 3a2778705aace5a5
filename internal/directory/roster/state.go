package roster

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"postern/internal/directory/block"
)

// State is the state of the whole directory at one moment: every block that has portal users,
// with its roster, in ascending order. It names no one: roots are salted.
type State []BlockRoot

// BlockRoot is a block with the root of its roster.
type BlockRoot struct {
	Block block.No
	Root  Digest
}

// stateForm begins the stored form of a state. A digest of it is no digest of anything else.
const stateForm = "postern directory 1\n"

// Bytes returns the stored form of a state: a line that says what it is, then for each block its
// number (4 bytes, big endian) and its root. There is one form for each state.
func (s State) Bytes() []byte {
	b := append(make([]byte, 0, len(stateForm)+len(s)*(4+sha256.Size)), stateForm...)
	for i := range s {
		b = binary.BigEndian.AppendUint32(b, uint32(s[i].Block)) // #nosec G115 -- a block number is not negative
		b = append(b, s[i].Root[:]...)
	}
	return b
}

// ParseState reads the stored form of a state. Errors wrap [ErrForm].
func ParseState(stored []byte) (State, error) {
	rest := stored[min(len(stored), len(stateForm)):]
	if len(stored) < len(stateForm) || string(stored[:len(stateForm)]) != stateForm || len(rest)%(4+sha256.Size) != 0 {
		return nil, fmt.Errorf("%w: these %d bytes are no state of the directory", ErrForm, len(stored))
	}
	s := make(State, 0, len(rest)/(4+sha256.Size))
	for ; len(rest) > 0; rest = rest[4+sha256.Size:] {
		one := BlockRoot{block.No(binary.BigEndian.Uint32(rest)), Digest(rest[4:])} // #nosec G115 -- a negative one is refused
		if one.Block < 0 || len(s) > 0 && one.Block <= s[len(s)-1].Block {
			return nil, fmt.Errorf("%w: block %d is out of order in a state of the directory", ErrForm, one.Block)
		}
		s = append(s, one)
	}
	return s, nil
}

// Digest returns the name of a state: the SHA-256 of its stored form.
func (s State) Digest() Digest { return sha256.Sum256(s.Bytes()) }

// Name returns a digest as events cite it: "sha256:" and the digest in hexadecimal.
func (d Digest) Name() string { return namePrefix + d.String() }

const namePrefix = "sha256:"

// ParseName returns the digest with a name.
func ParseName(name string) (Digest, error) {
	raw, err := hex.DecodeString(strings.TrimPrefix(name, namePrefix))
	if err != nil || len(raw) != sha256.Size || Digest(raw).Name() != name {
		return Digest{}, fmt.Errorf("%q is no digest", name)
	}
	return Digest(raw), nil
}

// Find returns where a block is in a state, and false if it is not.
func (s State) Find(no block.No) (at int, found bool) {
	return slices.BinarySearchFunc(s, no, func(b BlockRoot, no block.No) int { return cmp.Compare(b.Block, no) })
}
