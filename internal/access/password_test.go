package access

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"postern/internal/access/turn"

	"github.com/alexedwards/argon2id"
)

func TestHashes(t *testing.T) {
	h, err := newHasher(ShippedCost, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := h.hash(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("the hash does not begin with OWASP's parameters: %s", hash)
	}
	former := argon2id.Params{Memory: 1024, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}
	old, err := argon2id.CreateHash(good, &former)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, password, hash string
		match, stale         bool
	}{
		{"the same", good, hash, true, false},
		{"another", "a brook runs over the mill", hash, false, false},
		{"of former parameters", good, old, true, true},
		{"against nothing", good, "", false, false},
		{"the decoy itself", "a decoy that is never typed", "", false, false},
	} {
		match, stale, err := h.matches(t.Context(), test.password, test.hash)
		if err != nil || match != test.match || stale != test.stale {
			t.Errorf("%s: match %v, stale %v, %v; want %v, %v", test.name, match, stale, err, test.match, test.stale)
		}
	}
	if _, _, err := h.matches(t.Context(), good, "$argon2id$rubbish"); err == nil {
		t.Error("a broken hash is no error")
	}
}

// Each hash takes 19 MiB: more than the slots at once must wait, or give up.
func TestHashingWaitsForATurn(t *testing.T) {
	h, err := newHasher(ShippedCost, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var held []func()
	for range slots() {
		done, err := h.turn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, done)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.hash(gone, good); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it gave up", err)
	}
	late, stop := context.WithCancelCause(t.Context())
	stop(turn.ErrFull) // as after longestWait
	if _, err := h.hash(late, good); !errors.As(err, new(TooSoon)) {
		t.Errorf("got %v, want that it says when to try again", err)
	}
	held[0]()
	if _, err := h.hash(t.Context(), good); err != nil {
		t.Errorf("with a slot free: %v", err)
	}
}

func BenchmarkHash(b *testing.B) {
	h, err := newHasher(ShippedCost, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := h.hash(b.Context(), good); err != nil {
			b.Fatal(err)
		}
	}
}
