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
	"postern/internal/text/language"
)

// TooSoon says that a password or a link was refused unchecked: too many tries came before it, or
// too many others are being checked.
type TooSoon struct {
	After time.Duration // when to try again, from now
}

func (e TooSoon) Error() string {
	return fmt.Sprintf("too many tries: try again in %d seconds", int(e.After.Seconds())+1)
}

// Message implements [language.Localized].
func (e TooSoon) Message() language.Message {
	return language.Message{One: "Too many tries: try again in {n} second.", ID: "Too many tries: try again in {n} seconds.", N: int(e.After.Seconds()) + 1}
}

// Problem is the API's answer to such a try.
func (e TooSoon) Problem() *problem.Error {
	return &problem.Error{Kind: problem.TooMany, Detail: e.Error(), RetryAfter: e.After}
}

// A lane is the key by which failed sign-ins are counted: the client's network and the
// typed e-mail address. It is the same whether or not an account has the address, so the
// wait reveals nothing. A stranger's guesses delay only the stranger's network. A browser
// in which the e-mail address has signed in before has its own lane, so that a stranger
// in the same network does not delay it: see OWASP, "Slow Down Online Guessing Attacks
// with Device Cookies".
type lane struct {
	address string // digest of realm and e-mail address, hexadecimal; "": there is none
	key     []byte
	// all counts the tries of all networks together. It limits codes of a second factor,
	// of which there are a million, and which can be tried only with the password. It also
	// limits e-mails with links.
	all []byte
}

func (g *Gate) laneOf(ctx context.Context, realm policy.Realm, email string) lane {
	sum := sha256.Sum256([]byte(string(realm) + "\x00" + strings.ToLower(address.Typed(email))))
	l := lane{address: hex.EncodeToString(sum[:]), key: sum[:]}
	l.all = l.within("all")
	if g.knownBrowser(ctx, l) {
		l.key = l.within(g.browsers.Token(ctx))
		l.all = l.key
	} else if client := inbound.Client(ctx); client.IsValid() {
		l.key = l.within(inbound.Network(client).String())
	}
	return l
}

// ownLane is the lane of a signed-in subject who gives their password again.
func ownLane(who policy.Subject) lane {
	sum := sha256.Sum256([]byte("signed in\x00" + who.Actor()))
	return lane{key: sum[:], all: sum[:]}
}

func (l lane) within(part string) []byte {
	sum := sha256.Sum256([]byte(l.address + "\x00" + part))
	return sum[:]
}

// knownBrowser reports whether the e-mail address has signed in from this browser before.
func (g *Gate) knownBrowser(ctx context.Context, l lane) bool {
	return browserLoaded(ctx) && g.browsers.Exists(ctx, l.address)
}

// countTry counts a try, or refuses it with [TooSoon]. The first four failures cause no
// delay. From the fifth on they cause a delay of 1, 2, 4 … seconds, at most 15 minutes:
// about as many guesses a day as NIST SP 800-63B section 3.2.2 allows in all.
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
	next, err := one(ctx, g.pool, errNoFailures, pgx.RowTo[time.Time], `SELECT next_at FROM app.sign_in_tries WHERE lane = $1`, key)
	if errors.Is(err, errNoFailures) {
		return TooSoon{} // another sign-in has just succeeded and cleared the count
	}
	if err != nil {
		return fmt.Errorf("reading when to try again: %w", err)
	}
	return TooSoon{After: max(0, next.Sub(now))}
}

// uncountTry takes a try back that was counted and not checked, also where its request has no time
// left.
func (g *Gate) uncountTry(ctx context.Context, key []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, err := g.pool.Exec(ctx, `UPDATE app.sign_in_tries SET failures = failures - 1, next_at = tried_at WHERE lane = $1 AND failures > 0`, key)
	if err != nil {
		return fmt.Errorf("taking a sign-in back that was not checked: %w", err)
	}
	return nil
}

var errNoFailures = errors.New("no failures are counted")

// clearFailures deletes the failures of a lane after a success and remembers the browser.
func (g *Gate) clearFailures(ctx context.Context, l lane) error {
	if _, err := g.pool.Exec(ctx, `DELETE FROM app.sign_in_tries WHERE lane IN ($1, $2)`, l.key, l.all); err != nil {
		return fmt.Errorf("clearing failed sign-ins: %w", err)
	}
	if browserLoaded(ctx) && l.address != "" && !g.knownBrowser(ctx, l) {
		g.browsers.Put(ctx, l.address, true)
	}
	return nil
}
