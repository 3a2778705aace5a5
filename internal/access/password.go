package access

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/access/turn"
	"postern/internal/inbound"
	"postern/internal/limits"

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

// checkPassword refuses a new password that is easy to guess for a person with that name and
// e-mail address. It fails with [passwords.ErrRefused].
func (g *Gate) checkPassword(ctx context.Context, password string, least limits.Characters, name, email string) error {
	return passwords.Check(password, least, passwords.About{Clinic: g.clinic(ctx), Name: name, Email: email})
}

// clinic returns the clinic's name, "" if it has none.
func (g *Gate) clinic(ctx context.Context) string {
	if g.cfg.Clinic == nil {
		return ""
	}
	return g.cfg.Clinic(ctx)
}

// slots is how many passwords are hashed at a time: at most four, because each hash takes the
// memory of its cost, and at least two, of which suspects may have one.
func slots() int { return max(2, min(4, runtime.GOMAXPROCS(0))) }

// longestWait is how long a password waits for its turn. Only in a flood is that not enough: then the
// client is told to try again. A shorter wait would make a flood of those who are told so.
const longestWait = 10 * time.Second

// busyFor is when a client may try again that found too many others waiting.
const busyFor = 5 * time.Second

// A hasher hashes passwords, a few at a time, in the order of package turn.
type hasher struct {
	params   argon2id.Params
	turns    *turn.Turns
	failures *turn.Failures
	now      func() time.Time
	wait     time.Duration // for a turn, at most
	decoy    string        // checked where there is no password, so that it takes the same time
}

func newHasher(cost Cost, now func() time.Time) (hasher, error) {
	h := hasher{params: cost.params(), turns: turn.New(slots()), failures: &turn.Failures{}, now: now, wait: longestWait}
	var err error
	h.decoy, err = h.hash(context.Background(), "a decoy that is never typed")
	return h, err
}

type visitKey struct{}

// enter lines a client up for the hashes of a request. It fails with [TooSoon]. The hashes get
// their turns with the returned context, until leave.
func (h hasher) enter(ctx context.Context, class turn.Class, key string) (_ context.Context, leave func(), err error) {
	visit, err := h.turns.Enter(class, key)
	if err != nil {
		return nil, nil, whyNoTurn(err)
	}
	return context.WithValue(ctx, visitKey{}, visit), visit.Leave, nil
}

// turn waits until a password may be hashed. The caller calls done after that.
func (h hasher) turn(ctx context.Context) (done func(), err error) {
	visit, ok := ctx.Value(visitKey{}).(*turn.Visit)
	ctx, cancel := context.WithTimeoutCause(ctx, h.wait, turn.ErrFull)
	defer cancel()
	if ok {
		done, err := visit.Turn(ctx)
		return done, whyNoTurn(err)
	}
	visit, err = h.turns.Enter(h.clientOf(ctx))
	if err != nil {
		return nil, whyNoTurn(err)
	}
	end, err := visit.Turn(ctx)
	if err != nil {
		visit.Leave()
		return nil, whyNoTurn(err)
	}
	return func() { end(); visit.Leave() }, nil
}

// clientOf returns the client of a request that signs no one in: the person who is signed in, or
// else the network.
func (h hasher) clientOf(ctx context.Context) (turn.Class, string) {
	if subject, err := policy.SubjectFrom(ctx); err == nil {
		return turn.Known, subject.Actor()
	}
	return h.networkOf(ctx)
}

// networkOf returns the network of a request as a client. Outside of a request it is the operator.
func (h hasher) networkOf(ctx context.Context) (turn.Class, string) {
	network := inbound.Network(inbound.Client(ctx))
	switch {
	case !network.IsValid():
		return turn.Known, "operator"
	case h.failures.Suspect(network, h.now()):
		return turn.Suspect, network.String()
	}
	return turn.Quiet, network.String()
}

// failed notes that a sign-in from the client's network failed. Others are then served before it.
func (h hasher) failed(ctx context.Context) {
	network := inbound.Network(inbound.Client(ctx))
	if network.IsValid() && h.failures.Note(network, h.now()) {
		h.turns.Demote(network.String())
	}
}

// whyNoTurn says when to try again, if others wait or if the request had no time left.
func whyNoTurn(err error) error {
	if errors.Is(err, turn.ErrFull) || errors.Is(err, context.DeadlineExceeded) {
		return TooSoon{After: busyFor}
	}
	return err
}

func (h hasher) hash(ctx context.Context, password string) (string, error) {
	done, err := h.turn(ctx)
	if err != nil {
		return "", err
	}
	defer done()
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
	done, err := h.turn(ctx)
	if err != nil {
		return false, false, err
	}
	defer done()
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
