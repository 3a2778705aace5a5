package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/address"
)

// TooSoon refuses a sign-in unread, because too many have failed before it.
type TooSoon struct {
	After time.Duration // when to try again, from now
}

func (e TooSoon) Error() string {
	return fmt.Sprintf("too many failed sign-ins: try again in %d seconds", int(e.After.Seconds())+1)
}

// A lane is what failed sign-ins are counted by: the address that was typed,
// whether or not an account has it, so that nothing can be learned from the
// wait. A browser in which that address has signed in before has a lane of its
// own: whoever guesses at somebody's password elsewhere makes others at that
// elsewhere wait, and never the somebody at home. See OWASP, "Slow Down Online
// Guessing Attacks with Device Cookies".
type lane struct {
	address string // digest of realm and address, hexadecimal
	key     []byte
}

func (g *Gate) laneOf(ctx context.Context, realm Realm, email string) lane {
	sum := sha256.Sum256([]byte(string(realm) + "\x00" + strings.ToLower(address.Typed(email))))
	l := lane{address: hex.EncodeToString(sum[:]), key: sum[:]}
	if g.knows(ctx, l) {
		own := sha256.Sum256([]byte(l.address + "\x00" + g.browsers.Token(ctx)))
		l.key = own[:]
	}
	return l
}

// knows tells whether the address has signed in from this browser before.
func (g *Gate) knows(ctx context.Context, l lane) bool {
	return browserLoaded(ctx) && g.browsers.Exists(ctx, l.address)
}

// countTry counts a try, or refuses it as [TooSoon]. The first four failures
// cost nothing; from the fifth on they cost 1, 2, 4 … seconds, at most 15
// minutes, about as many guesses a day as NIST SP 800-63B section 3.2.2 lets
// stand in all.
func (g *Gate) countTry(ctx context.Context, l lane) error {
	now := g.cfg.Now()
	tag, err := g.pool.Exec(ctx, `
		INSERT INTO app.sign_in_tries AS t (lane, failures, tried_at, next_at) VALUES ($1, 1, $2, $2)
		ON CONFLICT (lane) DO UPDATE SET failures = t.failures + 1, tried_at = $2,
			next_at = $2 + CASE WHEN t.failures < 4 THEN interval '0'
				ELSE make_interval(secs => least(900, power(2, least(t.failures - 4, 20)))) END
		WHERE t.next_at <= $2`, l.key, now)
	if err != nil {
		return fmt.Errorf("counting a sign-in: %w", err)
	}
	if tag.RowsAffected() == 1 {
		return nil
	}
	next, err := one(ctx, g.pool, errForgiven, pgx.RowTo[time.Time], `SELECT next_at FROM app.sign_in_tries WHERE lane = $1`, l.key)
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
	if _, err := g.pool.Exec(ctx, `DELETE FROM app.sign_in_tries WHERE lane = $1`, l.key); err != nil {
		return fmt.Errorf("forgetting failed sign-ins: %w", err)
	}
	if browserLoaded(ctx) && !g.knows(ctx, l) {
		g.browsers.Put(ctx, l.address, true)
	}
	return nil
}
