package roster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"postern/internal/directory/block"
)

// The proof of every entry leads to the root, and shows what the directory said of the person.
// A proof in which anything is changed leads nowhere.
func TestProofs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		no, people := drawPeople(rt)
		r, err := Make(no, people)
		must(rt, err)
		s := NewSecret()
		root, err := r.Root(s)
		must(rt, err)
		i := rapid.IntRange(0, len(people)-1).Draw(rt, "whose")
		p, err := r.Prove(s, people[i].No)
		must(rt, err)
		got, err := p.Check(no, root)
		if diff := cmp.Diff(people[i], got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			rt.Fatalf("%v (-directory +proven):\n%s", err, diff)
		}
		other, err := r.Prove(s, people[(i+1)%len(people)].No)
		must(rt, err)
		alone := len(people) == 1
		for name, change := range map[string]func(*Proof) (changed bool){
			"another salt":           func(p *Proof) bool { p.Salt[3] ^= 1; return true },
			"the salt of another":    func(p *Proof) bool { p.Salt = other.Salt; return !alone },
			"other facts":            func(p *Proof) bool { p.Facts = append([]byte{}, p.Facts...); p.Facts[len(p.Facts)-1] ^= 1; return true },
			"other names":            func(p *Proof) bool { p.Names = append([]byte{}, p.Names...); p.Names[len(p.Names)-1] ^= 1; return true },
			"the facts of another":   func(p *Proof) bool { p.Facts = other.Facts; return !alone },
			"the entry of another":   func(p *Proof) bool { p.Facts, p.Names = other.Facts, other.Names; return !alone },
			"the path of another":    func(p *Proof) bool { same := slices.Equal(p.Path, other.Path); p.Path = other.Path; return !same },
			"a longer path":          func(p *Proof) bool { p.Path = append(slices.Clone(p.Path), tlog.Hash{}); return true },
			"no path":                func(p *Proof) bool { p.Path = nil; return true },
			"facts in place of both": func(p *Proof) bool { p.Names = p.Facts; return true },
		} {
			wrong := p
			if change(&wrong) {
				if _, err := wrong.Check(no, root); !errors.Is(err, ErrNotProven) && !errors.Is(err, ErrForm) {
					rt.Fatalf("%s: %v", name, err)
				}
			}
		}
		if again, err := r.Root(NewSecret()); err != nil || again == root {
			rt.Fatal("another secret gives the same root")
		}
		if _, err := p.Check(no+1, root); !errors.Is(err, ErrForm) {
			rt.Fatalf("it is proven for another block: %v", err)
		}
	})
	r := full(0)
	if _, err := r.Prove(NewSecret(), 251); !errors.Is(err, ErrNoEntry) {
		t.Error(err)
	}
}

// The root is that of package tlog for the leaves of the whole block, with a constant for each
// place that no portal user has.
func TestTheRootIsAMerkleTreeHash(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 3, 7, 8, 249, 250} {
		people, err := read(full(3))
		must(t, err)
		r, err := Make(3, people[:size])
		must(t, err)
		s := NewSecret()
		var stored []tlog.Hash
		hashes := tlog.HashReaderFunc(func(at []int64) (found []tlog.Hash, _ error) {
			for _, i := range at {
				found = append(found, stored[i])
			}
			return found, nil
		})
		leaves := map[int]tlog.Hash{}
		must(t, r.entries(func(no int32, facts, names []byte) {
			_, place := block.Of(no)
			leaves[place] = leaf(s.Salt(place), facts, names)
		}))
		for place := range block.Size {
			h, there := leaves[place]
			if !there {
				h = tlog.RecordHash(nil)
			}
			more, err := tlog.StoredHashesForRecordHash(int64(place), h, hashes)
			must(t, err)
			stored = append(stored, more...)
		}
		want, err := tlog.TreeHash(block.Size, hashes)
		must(t, err)
		if got, err := r.Root(s); got != Digest(want) || err != nil {
			t.Errorf("the root of %d is %s, want %s (%v)", size, got, Digest(want), err)
		}
		for _, i := range []int{0, size / 2, size - 1} {
			_, place := block.Of(people[i].No)
			want, err := tlog.ProveRecord(block.Size, int64(place), hashes)
			must(t, err)
			p, err := r.Prove(s, people[i].No)
			must(t, err)
			if diff := cmp.Diff([]tlog.Hash(want), p.Path); diff != "" {
				t.Errorf("the path of %d in %d (-tlog +ours):\n%s", i, size, diff)
			}
		}
	}
}

// No two places have the same salt. What remains when one place is forgotten gives every
// other salt, and not the forgotten one.
func TestSalts(t *testing.T) {
	t.Parallel()
	s := NewSecret()
	seen := map[Salt]int{}
	all := s.salts()
	for place := range block.Size {
		salt := s.Salt(place)
		if other, twice := seen[salt]; twice {
			t.Errorf("the salts of %d and %d are the same", place, other)
		}
		seen[salt] = place
		if Salt(all[place]) != salt {
			t.Errorf("place %d has two salts", place)
		}
	}
	for forgotten := range block.Size {
		r := s.Forget(forgotten)
		for place := range block.Size {
			salt, ok := r.Salt(place)
			if ok != (place != forgotten) || ok && salt != s.Salt(place) {
				t.Fatalf("without %d, place %d: %t", forgotten, place, ok)
			}
		}
		for _, sibling := range r.siblings {
			if Salt(sibling) == s.Salt(forgotten) || sibling == s.root {
				t.Fatalf("the salt of %d remains", forgotten)
			}
		}
	}
	back, err := ParseSecret(s.Bytes())
	if err != nil || back != s {
		t.Error("a secret does not read back")
	}
	if _, err := ParseSecret(s.Bytes()[1:]); err == nil {
		t.Error("a short secret is read")
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	s := NewSecret()
	for _, v := range []any{s, &s, s.Salt(1), s.Forget(1), []Secret{s}, struct{ S Secret }{s}, Proof{Salt: s.Salt(1)}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			if got := fmt.Sprintf(verb, v); !strings.Contains(got, "(secret)") {
				t.Errorf("%s prints %s", verb, got)
			}
		}
	}
}

func must(t interface {
	Helper()
	Fatal(...any)
}, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
