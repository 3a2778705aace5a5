package access

import (
	"context"
	"fmt"
	"runtime"

	"github.com/alexedwards/argon2id"
)

// Cost is the cost of hashing one password with argon2id. The zero value means
// [ShippedCost].
type Cost struct {
	MemoryKiB uint32
	Passes    uint32
}

// ShippedCost is the first choice of OWASP's Password Storage Cheat Sheet for
// argon2id: 19 MiB, two passes, one lane.
var ShippedCost = Cost{MemoryKiB: 19 * 1024, Passes: 2}

// TestCost is for tests alone, which hash hundreds of passwords that protect nothing.
var TestCost = Cost{MemoryKiB: 64, Passes: 1}

func (c Cost) params() argon2id.Params {
	if c == (Cost{}) {
		c = ShippedCost
	}
	return argon2id.Params{Memory: c.MemoryKiB, Iterations: c.Passes, Parallelism: 1, SaltLength: 16, KeyLength: 32}
}

// A hasher hashes passwords, a few at a time, because each hash takes the memory of its
// cost.
type hasher struct {
	params argon2id.Params
	slots  chan struct{}
	decoy  string // checked where there is no password, so that it takes the same time
}

func newHasher(cost Cost) (hasher, error) {
	h := hasher{params: cost.params(), slots: make(chan struct{}, min(4, runtime.GOMAXPROCS(0)))}
	var err error
	h.decoy, err = h.hash(context.Background(), "a decoy that is never typed")
	return h, err
}

// acquire waits for one of the few slots. The caller releases it.
func (h hasher) acquire(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting to hash a password: %w", ctx.Err())
	}
}

func (h hasher) release() { <-h.slots }

func (h hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.acquire(ctx); err != nil {
		return "", err
	}
	defer h.release()
	hash, err := argon2id.CreateHash(password, &h.params)
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return hash, nil
}

// matches reports whether hash is the hash of password, and whether it is stale: made
// with parameters other than the current ones. An empty hash takes as long to check and
// never matches.
func (h hasher) matches(ctx context.Context, password, hash string) (match, stale bool, err error) {
	if err := h.acquire(ctx); err != nil {
		return false, false, err
	}
	defer h.release()
	decoy := hash == ""
	if decoy {
		hash = h.decoy
	}
	match, params, err := argon2id.CheckHash(password, hash)
	if err != nil {
		return false, false, fmt.Errorf("checking a password: %w", err)
	}
	return match && !decoy, *params != h.params, nil
}
