package merkle

import (
	"crypto/sha256"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// The right edge gives the same hashes and roots as tlog with all hashes, at every size and
// after TreeAt at any size.
func TestTheTreeEqualsTlog(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(0, 300).Draw(rt, "size")
		pickUp := rapid.IntRange(0, size).Draw(rt, "picked up at")
		var stored []tlog.Hash
		reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
			var read []tlog.Hash
			for _, i := range indexes {
				read = append(read, stored[i])
			}
			return read, nil
		})
		tree := &Tree{}
		for n := range int64(size) {
			if n == int64(pickUp) {
				var err error
				if tree, err = TreeAt(n, reader); err != nil {
					rt.Fatal(err)
				}
			}
			leaf := tlog.Hash(sha256.Sum256([]byte{byte(n), byte(n >> 8)}))
			want, err := tlog.StoredHashesForRecordHash(n, leaf, reader)
			if err != nil {
				rt.Fatal(err)
			}
			got := tree.Append(leaf)
			if len(got) != len(want) || got[len(got)-1] != want[len(want)-1] {
				rt.Fatalf("leaf %d stores other hashes", n)
			}
			stored = append(stored, got...)
			root, err := tlog.TreeHash(n+1, reader)
			if err != nil {
				rt.Fatal(err)
			}
			if tree.Root() != root {
				rt.Fatalf("the root at %d differs", n+1)
			}
		}
		if empty, _ := tlog.TreeHash(0, reader); size == 0 && tree.Root() != empty {
			rt.Error("the root of the empty tree differs")
		}
	})
}
