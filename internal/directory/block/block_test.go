package block_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"postern/internal/directory/block"
)

// Every portal user is at one place of one block, and the blocks follow one another.
func TestABlockIsARunOfNumbers(t *testing.T) {
	t.Parallel()
	for no, want := range map[int32][2]int{1: {0, 0}, 250: {0, 249}, 251: {1, 0}, 1000: {3, 249}, math.MaxInt32: {8589934, 146}} {
		b, place := block.Of(no)
		if int(b) != want[0] || place != want[1] || b.At(place) != no {
			t.Errorf("portal user %d is at place %d of block %d, whose number is %d; want %v", no, place, b, b.At(place), want)
		}
	}
}

func membersOf(places []int) (m block.Members) {
	for _, p := range places {
		m.Add(p)
	}
	return m
}

var places = rapid.SliceOfNDistinct(rapid.IntRange(0, block.Size-1), 1, block.Size, rapid.ID)

// A set of members has one stored form, which reads back as the same set.
func TestMembersReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		some := places.Draw(rt, "places")
		m := membersOf(some)
		slices.Sort(some)
		if got := slices.Collect(m.All()); !slices.Equal(got, some) || m.Count() != len(some) {
			rt.Fatalf("All() is %v, Count() %d, want %v", got, m.Count(), some)
		}
		for i, place := range some {
			if !m.Has(place) || m.Rank(place) != i {
				rt.Fatalf("place %d: Has %t, Rank %d, want rank %d", place, m.Has(place), m.Rank(place), i)
			}
		}
		stored := m.AppendTo(nil)
		if back, err := block.Parse(stored); err != nil || back != m {
			rt.Fatalf("%x reads back as %v, %v", stored, back, err)
		}
		without := m
		without.Remove(some[0])
		if without.Has(some[0]) || without.Count() != len(some)-1 {
			rt.Fatal("a removed member is still there")
		}
		if !m.Meets(&m) || without.Count() > 0 != m.Meets(&without) {
			rt.Fatal("Meets is wrong")
		}
	})
}

// Bytes that read as members are the stored form of these members.
func TestMembersHaveOneForm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(rt, "raw")
		m, err := block.Parse(raw)
		switch {
		case err != nil && !errors.Is(err, block.ErrForm):
			rt.Fatal(err)
		case err == nil && !slices.Equal(m.AppendTo(nil), raw):
			rt.Fatalf("%x reads as %v, whose form is %x", raw, m, m.AppendTo(nil))
		}
	})
	full := membersOf(nil)
	for p := range block.Size {
		full.Add(p)
	}
	beyond := full.AppendTo(nil)
	beyond[31] |= 1 << 2 // place 250
	few := make([]byte, 32)
	few[0] = 1
	for name, raw := range map[string][]byte{
		"nothing": {}, "twice": {4, 4}, "out of order": {5, 4}, "outside the block": {250}, "a bitmap with a place outside": beyond,
		"a bitmap of one": few, "too long": make([]byte, 33),
	} {
		if _, err := block.Parse(raw); !errors.Is(err, block.ErrForm) {
			t.Errorf("%s: %x reads as members (%v)", name, raw, err)
		}
	}
}
