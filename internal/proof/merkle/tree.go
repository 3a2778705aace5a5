package merkle

import (
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// A Tree is the right edge of the Merkle tree: the roots of its complete subtrees,
// the largest first, of which there is one for each 1 bit of its size. That is all
// that appending and the root need, however many leaves there are.
type Tree struct {
	Size  int64
	edges []tlog.Hash
}

// TreeAt reads the right edge of the tree at a size.
func TreeAt(size int64, r tlog.HashReader) (*Tree, error) {
	var indexes []int64
	for left, rest := int64(0), size; rest > 0; {
		level := bits.Len64(uint64(rest)) - 1 // #nosec G115 -- a size
		indexes = append(indexes, tlog.StoredHashIndex(level, left>>level))
		left += 1 << level
		rest -= 1 << level
	}
	edges, err := r.ReadHashes(indexes)
	if err != nil {
		return nil, err
	}
	return &Tree{Size: size, edges: edges}, nil
}

// Clone gives a tree that grows apart from t.
func (t *Tree) Clone() *Tree { return &Tree{Size: t.Size, edges: slices.Clone(t.edges)} }

// Append adds a leaf and gives the hashes to be stored for it, the first under
// tlog.StoredHashIndex(0, size before) and the others right after it.
func (t *Tree) Append(leaf tlog.Hash) []tlog.Hash {
	stored := []tlog.Hash{leaf}
	// Each trailing 1 bit of the size is a subtree that this leaf makes twice as large.
	for n := t.Size; n&1 == 1; n >>= 1 {
		last := len(t.edges) - 1
		leaf = tlog.NodeHash(t.edges[last], leaf)
		t.edges = t.edges[:last]
		stored = append(stored, leaf)
	}
	t.edges = append(t.edges, leaf)
	t.Size++
	return stored
}

// Root is the root of the tree as it is.
func (t *Tree) Root() tlog.Hash {
	if len(t.edges) == 0 {
		root, _ := tlog.TreeHash(0, nil) // of nothing; reads nothing
		return root
	}
	root := t.edges[len(t.edges)-1]
	for i := len(t.edges) - 2; i >= 0; i-- {
		root = tlog.NodeHash(t.edges[i], root)
	}
	return root
}
