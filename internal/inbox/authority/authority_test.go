package authority_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"postern/internal/directory/block"
	"postern/internal/inbox/authority"
)

// Each member of a list gets its own patients back.
func TestEachMemberHasItsOwnPatients(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		members := rapid.SliceOf(rapid.SliceOfN(rapid.Int32Min(1), 0, 3)).Draw(rt, "patients of each member")
		var list authority.List
		for _, patients := range members {
			list = append(list, patients...).End()
		}
		for rank, want := range members {
			if got := list.Of(rank); !slices.Equal(got, want) {
				rt.Fatalf("member %d of %v has %v, want %v", rank, list, got, want)
			}
		}
		if got := list.Of(len(members)); got != nil {
			rt.Fatalf("a member that is not there has %v", got)
		}
	})
}

// Each member has its own patients at its place in the block. A portal user who is no member
// has no delivery, which differs from a delivery without patients.
func TestOnlyMembersHaveADelivery(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		want := rapid.MapOfN(rapid.IntRange(0, block.Size-1), rapid.SliceOfN(rapid.Int32Min(1), 0, 3), 1, block.Size).Draw(rt, "patients by place")
		var members block.Members
		var list authority.List
		for place := range block.Size {
			if patients, has := want[place]; has {
				members.Add(place)
				list = append(list, patients...).End()
			}
		}
		stored := members.AppendTo(nil)
		for place := range block.Size {
			got, err := list.At(stored, place)
			if _, has := want[place]; has != (err == nil) || !has && !errors.Is(err, authority.ErrNone) || !slices.Equal(got, want[place]) {
				rt.Fatalf("place %d has %v (%v), want %v", place, got, err, want[place])
			}
		}
	})
	if got, err := (authority.List{}).At([]byte{7}, 7); !errors.Is(err, authority.ErrNone) {
		t.Errorf("a member without an entry has %v (%v)", got, err)
	}
	if got, err := (authority.List{0}).At(nil, 0); !errors.Is(err, block.ErrForm) {
		t.Errorf("of no members one has %v (%v)", got, err)
	}
}
