package roster

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/directory/block"
	"postern/internal/proof/salted"
)

// leaf returns the hash of an entry. The names are hashed apart, so that facts can be shown
// without the names.
func leaf(salt Salt, facts, names []byte) tlog.Hash {
	var buffer [512]byte
	hidden := sha256.Sum256(append(append(buffer[:0], salt[:]...), names...))
	b := append(append(buffer[:0], 0), salt[:]...)
	return sha256.Sum256(append(append(b, facts...), hidden[:]...))
}

// entries calls visit with each entry, in order of place. The bytes are valid only until
// visit returns.
func (r *Roster) entries(visit func(no int32, facts, names []byte)) error {
	facts, names := reader{b: r.Facts}, reader{b: r.Names}
	facts.header(r.Block)
	names.header(r.Block)
	head := header(nil, r.Block)
	var p Person
	var oneFacts, oneNames []byte
	for more := true; more; more = len(facts.b) > 0 {
		f, n := facts.b, names.b
		facts.facts(r.Block, &p)
		names.names(r.Block, &p)
		if err := errors.Join(facts.err, names.err); err != nil {
			return err
		}
		oneFacts = append(append(oneFacts[:0], head...), f[:len(f)-len(facts.b)]...)
		oneNames = append(append(oneNames[:0], head...), n[:len(n)-len(names.b)]...)
		visit(p.No, oneFacts, oneNames)
	}
	return nil
}

// absent is the leaf of a place that no portal user has. No entry has it, because a leaf covers
// a salt.
var absent = tlog.Hash(sha256.Sum256([]byte{0}))

// leaves returns the leaves of all places of the block: every roster has a tree of this size, so
// that a proof need not say it.
func (r *Roster) leaves(s Secret) ([]tlog.Hash, error) {
	salts := s.salts()
	all := slices.Repeat([]tlog.Hash{absent}, block.Size)
	err := r.entries(func(no int32, facts, names []byte) {
		_, place := block.Of(no)
		all[place] = leaf(Salt(salts[place]), facts, names)
	})
	return all, err
}

// Root returns the root of the roster with a secret. The roster must have its names.
func (r *Roster) Root(s Secret) (Digest, error) {
	leaves, err := r.leaves(s)
	if err != nil {
		return Digest{}, fmt.Errorf("computing the root of a roster: %w", err)
	}
	return Digest(salted.TreeHash(leaves)), nil
}

// Proof proves that a roster has an entry. It discloses nothing of the other entries.
type Proof struct {
	Salt         Salt
	Facts, Names []byte      // the entry
	Path         []tlog.Hash // from the entry up
}

// ErrNoEntry is the error if a roster says nothing of a portal user.
var ErrNoEntry = errors.New("the roster has no entry of this portal user")

// Prove returns the proof of the entry of a portal user. Errors are [ErrNoEntry], or wrap
// [ErrForm].
func (r *Roster) Prove(s Secret, no int32) (Proof, error) {
	var found Proof
	err := r.entries(func(of int32, facts, names []byte) {
		if of == no {
			found.Facts, found.Names = bytes.Clone(facts), bytes.Clone(names)
		}
	})
	if err != nil {
		return Proof{}, err
	}
	if found.Facts == nil {
		return Proof{}, ErrNoEntry
	}
	leaves, err := r.leaves(s)
	if err != nil {
		return Proof{}, err
	}
	_, place := block.Of(no)
	found.Salt, found.Path = s.Salt(place), salted.Path(place, leaves)
	return found, nil
}

// ErrNotProven is wrapped by the error if a proof does not lead to a root.
var ErrNotProven = errors.New("the entry is not of this roster")

// Check checks the proof against the root of a roster of a block, and returns what the entry
// says. Errors wrap [ErrNotProven] or [ErrForm].
func (p *Proof) Check(no block.No, root Digest) (person Person, err error) {
	one := Roster{Block: no, Facts: p.Facts, Names: p.Names}
	people := 0
	err = one.Visit(func(p *Person) bool { person = *p; people++; return true })
	if err == nil && people != 1 {
		err = fmt.Errorf("%w: an entry of %d people", ErrForm, people)
	}
	if err != nil {
		return Person{}, err
	}
	_, place := block.Of(person.No)
	err = salted.CheckPath(p.Path, tlog.Hash(root), place, block.Size, leaf(p.Salt, p.Facts, p.Names))
	if err != nil {
		return Person{}, fmt.Errorf("%w: %w", ErrNotProven, err)
	}
	return person, nil
}
