package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"postern/internal/access/policy"
	"postern/internal/problem"

	"github.com/jackc/pgx/v5"

	"postern/internal/inbound"
	"postern/internal/text/address"
)

// TooSoon refuses a sign-in unread, because too many have failed before it.
type TooSoon struct {
	After time.Duration // when to try again, from now
}

func (e TooSoon) Error() string {
	return fmt.Sprintf("too many failed sign-ins: try again in %d seconds", int(e.After.Seconds())+1)
}

// Problem is how such a sign-in is answered.
func (e TooSoon) Problem() *problem.Error {
	return &problem.Error{Kind: problem.TooMany, Detail: e.Error(), RetryAfter: e.After}
}

// A lane is what failed sign-ins are counted by: the client's network and the e-mail
// address that was typed, whether or not an account has it, so that nothing can be
// learned from the wait. So a stranger's guesses make the stranger wait, and no one in
// another network. A browser in which that e-mail address has signed in before has a
// lane of its own, for those who share the network with the stranger: see OWASP, "Slow
// Down Online Guessing Attacks with Device Cookies".
type lane struct {
	address string // digest of realm and e-mail address, hexadecimal; "": by none
	key     []byte
	// all counts the tries of all networks together. It is for codes of a second factor,
	// of which there are a million, and which can be tried only with the password; and
	// for letters.
	all []byte
}

func (g *Gate) laneOf(ctx context.Context, realm policy.Realm, email string) lane {
	sum := sha256.Sum256([]byte(string(realm) + "\x00" + strings.ToLower(address.Typed(email))))
	l := lane{address: hex.EncodeToString(sum[:]), key: sum[:]}
	l.all = l.within("all")
	if g.knows(ctx, l) {
		l.key = l.within(g.browsers.Token(ctx))
		l.all = l.key
	} else if client := inbound.Client(ctx); client.IsValid() {
		l.key = l.within(inbound.Network(client).String())
	}
	return l
}

// ownLane is the lane of a subject who is signed in and gives their password once more.
func ownLane(who policy.Subject) lane {
	sum := sha256.Sum256([]byte("signed in\x00" + who.Actor()))
	return lane{key: sum[:], all: sum[:]}
}

func (l lane) within(part string) []byte {
	sum := sha256.Sum256([]byte(l.address + "\x00" + part))
	return sum[:]
}

// knows tells whether the address has signed in from this browser before.
func (g *Gate) knows(ctx context.Context, l lane) bool {
	return browserLoaded(ctx) && g.browsers.Exists(ctx, l.address)
}

// countTry counts a try, or refuses it as [TooSoon]. The first four failures
// cost nothing; from the fifth on they cost 1, 2, 4 … seconds, at most 15
// minutes, about as many guesses a day as NIST SP 800-63B section 3.2.2 lets
// stand in all.
func (g *Gate) countTry(ctx context.Context, key []byte) error {
	now := g.cfg.Facts.Now()
	tag, err := g.pool.Exec(ctx, `
		INSERT INTO app.sign_in_tries AS t (lane, failures, tried_at, next_at) VALUES ($1, 1, $2, $2)
		ON CONFLICT (lane) DO UPDATE SET failures = t.failures + 1, tried_at = $2,
			next_at = $2 + CASE WHEN t.failures < 4 THEN interval '0'
				ELSE make_interval(secs => least(900, power(2, least(t.failures - 4, 20)))) END
		WHERE t.next_at <= $2`, key, now)
	if err != nil {
		return fmt.Errorf("counting a sign-in: %w", err)
	}
	if tag.RowsAffected() == 1 {
		return nil
	}
	next, err := one(ctx, g.pool, errForgiven, pgx.RowTo[time.Time], `SELECT next_at FROM app.sign_in_tries WHERE lane = $1`, key)
	if errors.Is(err, errForgiven) {
		return TooSoon{} // by another that has just succeeded
	}
	if err != nil {
		return fmt.Errorf("reading when to try again: %w", err)
	}
	return TooSoon{After: max(0, next.Sub(now))}
}

var errForgiven = errors.New("no failures are counted")

// forgive forgets the failures of a lane after a success, and remembers the
// browser.
func (g *Gate) forgive(ctx context.Context, l lane) error {
	if _, err := g.pool.Exec(ctx, `DELETE FROM app.sign_in_tries WHERE lane IN ($1, $2)`, l.key, l.all); err != nil {
		return fmt.Errorf("forgetting failed sign-ins: %w", err)
	}
	if browserLoaded(ctx) && l.address != "" && !g.knows(ctx, l) {
		g.browsers.Put(ctx, l.address, true)
	}
	return nil
}
