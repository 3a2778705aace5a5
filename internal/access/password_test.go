package access

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/alexedwards/argon2id"

	"postern/internal/limits"
)

func TestCheckPassword(t *testing.T) {
	for _, test := range []struct {
		name, password string
		refused        string // part of the reason; "" accepted
	}{
		{"a sentence", "a brook runs under the mill", ""},
		{"exactly twelve", "Twelve!chars", ""},
		{"eleven", "Eleven!char", "at least 12"},
		{"characters, not bytes", "пароль дождь", ""},
		{"as long as it may be", strings.Repeat("abcdefgh", 16), ""},
		{"longer", strings.Repeat("abcdefgh", 16) + "i", "at most 128"},
		{"a common one", "password1234", "first that are guessed"},
		{"a common one with capitals and spaces", "Correct Horse Battery Staple", "first that are guessed"},
		{"one key", "aaaaaaaaaaaaaa", "first that are guessed"},
		{"two keys", "abababababababab", "first that are guessed"},
		{"not text", "twelve chars\xff", "UTF-8"},
		{"nothing", "", "at least 12"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := checkPassword(test.password, limits.StaffPassword)
			if test.refused == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if test.refused != "" && (!errors.Is(err, ErrPassword) || !strings.Contains(err.Error(), test.refused)) {
				t.Errorf("got %v, want it refused with %q", err, test.refused)
			}
			if err != nil && test.password != "" && strings.Contains(err.Error(), test.password) {
				t.Error("the error gives the password away")
			}
		})
	}
}

// A line that checkPassword never comes to would only pretend.
func TestCommonPasswordsAreWrittenAsTheyAreLookedUp(t *testing.T) {
	for line := range strings.Lines(commonPasswords) {
		line = strings.TrimSuffix(line, "\n")
		if line != strings.ToLower(strings.Join(strings.Fields(line), "")) || line == "" {
			t.Errorf("%q is not in lower case without spaces", line)
		}
	}
	if len(common) < 200 {
		t.Errorf("only %d common passwords", len(common))
	}
}

func TestHashes(t *testing.T) {
	h, err := newHasher(ShippedCost)
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
		{"the decoy itself", "a decoy that nobody types", "", false, false},
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
func TestHashingWaitsForASlot(t *testing.T) {
	h, err := newHasher(ShippedCost)
	if err != nil {
		t.Fatal(err)
	}
	for range cap(h.slots) {
		if err := h.take(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.hash(gone, good); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it gave up", err)
	}
	h.give()
	if _, err := h.hash(t.Context(), good); err != nil {
		t.Errorf("with a slot free: %v", err)
	}
}

func BenchmarkHash(b *testing.B) {
	h, err := newHasher(ShippedCost)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := h.hash(b.Context(), good); err != nil {
			b.Fatal(err)
		}
	}
}
