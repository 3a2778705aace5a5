package merkle

import (
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// A Tree is the right edge of the Merkle tree: the roots of its complete subtrees, the
// largest first, one for each 1 bit of its size. Appending and computing the root need
// nothing else, for any number of leaves.
type Tree struct {
	Size  int64
	edges []tlog.Hash
}

// TreeAt reads the right edge of the tree with a size.
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

// Clone returns an independent copy of t.
func (t *Tree) Clone() *Tree { return &Tree{Size: t.Size, edges: slices.Clone(t.edges)} }

// Append adds a leaf and returns the hashes to store for it. The first has the index
// tlog.StoredHashIndex(0, size before), and the others have the following indexes.
func (t *Tree) Append(leaf tlog.Hash) []tlog.Hash {
	stored := []tlog.Hash{leaf}
	// For each trailing 1 bit of the size, this leaf completes a subtree of twice the size.
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

// Root returns the root of the tree.
func (t *Tree) Root() tlog.Hash {
	if len(t.edges) == 0 {
		root, _ := tlog.TreeHash(0, nil) // the root of an empty tree; it reads no hashes
		return root
	}
	root := t.edges[len(t.edges)-1]
	for i := len(t.edges) - 2; i >= 0; i-- {
		root = tlog.NodeHash(t.edges[i], root)
	}
	return root
}
