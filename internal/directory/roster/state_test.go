package roster

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern/internal/directory/block"
)

// A state is read back as it was written, and other bytes are refused or are another state, with
// another digest.
func TestAStateHasOneForm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		state := State{}
		no := block.No(0)
		for range rapid.IntRange(0, 5).Draw(t, "blocks") {
			no += block.No(rapid.Int32Range(1, 1<<28).Draw(t, "step"))
			state = append(state, BlockRoot{no, sha256.Sum256(fmt.Append(nil, no))})
		}
		stored := state.Bytes()
		if got, err := ParseState(stored); err != nil || !cmp.Equal(state, got) || sha256.Sum256(stored) != state.Digest() {
			t.Fatalf("wrote %v, read %v, %v", state, got, err)
		}
		if got, err := ParseName(state.Digest().Name()); err != nil || got != state.Digest() {
			t.Errorf("%s is read as %s, %v", state.Digest().Name(), got, err)
		}
		for i, b := range state {
			if at, found := state.Find(b.Block); !found || at != i {
				t.Errorf("block %d is at %d, %v", b.Block, at, found)
			}
			if _, found := state.Find(b.Block - 1); found && (i == 0 || state[i-1].Block != b.Block-1) {
				t.Errorf("block %d is found", b.Block-1)
			}
		}
		other := rapid.SampledFrom([]func() []byte{
			func() []byte { return stored[:rapid.IntRange(0, len(stored)-1).Draw(t, "length")] },
			func() []byte {
				stored[rapid.IntRange(0, len(stored)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
				return stored
			},
			func() []byte { return append(stored, stored[max(0, len(stored)-4-sha256.Size):]...) },
		}).Draw(t, "other")()
		if got, err := ParseState(other); err == nil && got.Digest() == state.Digest() || err != nil && !errors.Is(err, ErrForm) {
			t.Errorf("%x is read as %v, %v", other, got, err)
		}
	})
}

func TestOtherNamesAreRefused(t *testing.T) {
	t.Parallel()
	name := State{}.Digest().Name()
	for _, other := range []string{"", "sha256:", name[1:], name[:len(name)-2], name + "00", strings.ToUpper(name), name[len("sha256:"):]} {
		if _, err := ParseName(other); err == nil {
			t.Errorf("%q is read", other)
		}
	}
}
