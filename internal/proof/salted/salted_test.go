package salted

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

func list(n int) (entries [][]byte) {
	for i := range n {
		entries = append(entries, fmt.Appendf(nil, "entry %d", i))
	}
	return entries
}

// Every entry of a list is proven, and nothing else is: a proof with another entry, salt, place,
// path, root or number of entries does not hold.
func TestOnlyTheEntriesOfAListAreProven(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 70).Draw(rt, "entries")
		at := rapid.IntRange(0, n-1).Draw(rt, "at")
		seed, entries := NewSeed(), list(n)
		root := seed.Root(entries)
		p := seed.Prove(entries, at)
		if err := p.Check(root, n); err != nil {
			rt.Fatal(err)
		}
		size := n
		changes := []string{"entry", "salt", "salt's length", "place", "place outside", "root"}
		if n > 1 {
			changes = append(changes, "path", "path's length")
		}
		switch rapid.SampledFrom(changes).Draw(rt, "change") {
		case "entry":
			p.Entry += "x"
		case "salt":
			p.Salt[rapid.IntRange(0, 31).Draw(rt, "byte")] ^= 1
		case "salt's length":
			p.Salt = p.Salt[:31]
		case "place":
			p.At = (p.At + 1) % (n + 1)
		case "place outside":
			p.At = -1 - p.At
		case "root":
			root[0] ^= 1
		case "path":
			p.Path[rapid.IntRange(0, len(p.Path)-1).Draw(rt, "hash")][0] ^= 1
		case "path's length":
			p.Path = p.Path[1:]
		}
		if err := p.Check(root, size); !errors.Is(err, ErrNotProven) {
			rt.Errorf("the changed proof gives %v", err)
		}
	})
}

// The root is that of the tree of RFC 6962, as package tlog computes it.
func TestTheRootIsTlogs(t *testing.T) {
	t.Parallel()
	seed := NewSeed()
	for n := 1; n < 40; n++ {
		leaves := seed.leaves(list(n))
		var stored []tlog.Hash
		reader := tlog.HashReaderFunc(func(indexes []int64) (read []tlog.Hash, _ error) {
			for _, i := range indexes {
				read = append(read, stored[i])
			}
			return read, nil
		})
		for i, leaf := range leaves {
			more, err := tlog.StoredHashesForRecordHash(int64(i), leaf, reader)
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, more...)
		}
		if want, err := tlog.TreeHash(int64(n), reader); err != nil || TreeHash(leaves) != want {
			t.Errorf("of %d entries: %v", n, err)
		}
	}
}

// No two places and no two lists have the same salt.
func TestSaltsDoNotRepeat(t *testing.T) {
	t.Parallel()
	seen := map[Salt]bool{}
	for range 20 {
		seed := NewSeed()
		for at := range 1000 {
			if salt := seed.Salt(at); seen[salt] {
				t.Fatal("a salt repeats")
			} else {
				seen[salt] = true
			}
		}
	}
}

// A sealed seed is opened only with its key, and only unchanged.
func TestSealingASeed(t *testing.T) {
	t.Parallel()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParsePrivateKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ParsePublicKey(key.Public().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	seed := NewSeed()
	sealed, err := public.Seal(seed)
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := again.Open(sealed); err != nil || opened != seed {
		t.Fatalf("opening it: %v", err)
	}
	other, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(sealed); !errors.Is(err, ErrOtherKey) {
		t.Errorf("another key gives %v", err)
	}
	for i := range sealed {
		sealed[i] ^= 1
		if _, err := key.Open(sealed); err == nil {
			t.Errorf("byte %d can be changed", i)
		}
		sealed[i] ^= 1
	}
	if _, err := key.Open(sealed[:len(sealed)-1]); err == nil {
		t.Error("it can be cut")
	}
}

// No secret is printed.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		for _, secret := range []any{NewSeed(), NewSeed().Salt(1), key} {
			if text := fmt.Sprintf(verb, secret); len(text) > 30 {
				t.Errorf("%s prints %s", verb, text)
			}
		}
	}
}

func BenchmarkRootOfAThousand(b *testing.B) {
	seed, entries := NewSeed(), list(1000)
	for b.Loop() {
		seed.Root(entries)
	}
}

func BenchmarkSeal(b *testing.B) {
	key, err := NewKey()
	if err != nil {
		b.Fatal(err)
	}
	public := key.Public()
	for b.Loop() {
		if _, err := public.Seal(NewSeed()); err != nil {
			b.Fatal(err)
		}
	}
}
