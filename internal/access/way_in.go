package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/limits"
	"postern/internal/problem"
	"postern/internal/store"
	"postern/internal/text/language"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// A letter is the way in for a portal user without a working e-mail address: a sheet of paper with
// a user name and a single-use code. With both, the person chooses a password. See ADR 86.
//
// A letter is a row of app.password_links, as a link is. So a person has one letter or one link that
// works, a newer one replaces it, and it ends with the e-mail address for which it was made.

// letterLifetime is how long the code of a letter works.
const letterLifetime = time.Duration(limits.LetterCode) * 24 * time.Hour

var (
	// ErrHasAddress says that a portal user has an e-mail address that works, as far as is known.
	ErrHasAddress = problem.HasAddress.New("this portal user has an e-mail address: send them a link by e-mail instead of a letter")
	// ErrLetterMade says that a letter of this print was made before. Its code can't be shown again.
	ErrLetterMade = problem.LetterMade.New("this letter was made already, and its code can't be shown again: make a new letter, which ends the former code")
	// ErrLetterCode is the only answer to a user name and a code that can't be used. The recorded
	// event has the reason.
	ErrLetterCode = problem.WrongCredentials.New("the user name or the code is wrong, or the code was used, replaced or is too old: check both, or ask the clinic for a new letter")
)

// A Letter is what a letter has for a portal user. Code is nowhere else: only its hash is stored.
type Letter struct {
	PortalUserID string
	Name         string
	UserName     string // in groups, as it is printed
	Code         string // in groups, as it is printed
	ExpiresAt    time.Time
	First        bool // there is no password yet
}

// A Print makes each of its letters once. The zero Print is not valid.
type Print struct{ ID uuid.UUID }

// NewPrint returns a new print, to be put into a form.
func NewPrint() Print { return Print{uuid.New()} }

// MakeLetter makes the letter of a portal user, and replaces an earlier letter or link. The event
// names actor. It fails with [ErrNoPortalUser], [ErrInactive], [ErrHasAddress] or [ErrLetterMade],
// and then an earlier letter still works.
func (g *Gate) MakeLetter(ctx context.Context, actor, portalUserID string, p Print) (Letter, error) {
	made, refused, err := g.MakeLetters(ctx, actor, []string{portalUserID}, p)
	if err == nil {
		err = refused[portalUserID]
	}
	if err != nil {
		return Letter{}, err
	}
	return made[0], nil
}

// MakeLetters is [Gate.MakeLetter] for at most limits.Letters portal users, each named once. Letters
// are in the order of the ids. Refused says, by id, why a portal user has none.
func (g *Gate) MakeLetters(ctx context.Context, actor string, ids []string, p Print) (made []Letter, refused map[string]error, err error) {
	if len(ids) > int(limits.Letters) {
		return nil, nil, problem.Invalid("body.portal_user_ids", "name at most %s", limits.Letters)
	}
	refused = map[string]error{}
	var facts []events.Body
	var digests [][]byte
	for _, id := range ids {
		letter, digest, fact, err := g.storeLetter(ctx, id, p)
		switch {
		case errors.Is(err, ErrNoPortalUser), errors.Is(err, ErrHasAddress), errors.Is(err, ErrLetterMade):
			refused[id] = err
			continue
		case err != nil:
			g.forgetLinks(ctx, digests)
			return nil, nil, err
		}
		made, digests, facts = append(made, letter), append(digests, digest), append(facts, fact)
	}
	if len(facts) == 0 {
		return nil, refused, nil
	}
	// A crash from here on leaves letters whose codes no one has: this call alone returns them, once
	// the letters are recorded.
	if _, err := g.publish(ctx, actor, facts...); err != nil {
		g.forgetLinks(ctx, digests)
		return nil, nil, fmt.Errorf("recording letters: %w", err)
	}
	return made, refused, nil
}

func (g *Gate) forgetLinks(ctx context.Context, digests [][]byte) {
	for _, digest := range digests {
		g.forgetLink(ctx, digest)
	}
}

// storeLetter stores the letter of a portal user, and returns what it has and the event to record.
func (g *Gate) storeLetter(ctx context.Context, id string, p Print) (Letter, []byte, events.LinkIssued, error) {
	none := func(err error) (Letter, []byte, events.LinkIssued, error) {
		return Letter{}, nil, events.LinkIssued{}, err
	}
	u, err := g.portalUserByID(ctx, id)
	if err != nil {
		return none(err)
	}
	if u.email != "" && !u.dead {
		return none(ErrHasAddress)
	}
	name, err := g.giveUserName(ctx, u)
	if err != nil {
		return none(err)
	}
	code := newReadable(codeSymbols)
	hash, err := g.passwords.hash(ctx, code)
	if err != nil {
		return none(err)
	}
	purpose := events.LinkFirst
	if u.hasAccount {
		purpose = events.LinkReset
	}
	_, digest := newToken(portalLinkPrefix) // it names the letter; no one has the token
	now := g.cfg.Facts.Time()
	fact := events.LinkIssued{Link: linkID(digest), Account: string(policy.RealmPortalUser), ID: u.id, Purpose: purpose, By: events.LinkByLetter, ExpiresAt: now.Add(letterLifetime)}
	tag, err := g.pool.Exec(ctx, `
		INSERT INTO app.password_links AS l (token_hash, realm, subject, purpose, address_version, made_at, expires_at, way, code_hash, print_id)
		SELECT $1, 'portal_user', $2, $3, $4, $5, $6, 'letter', $7, $8
		WHERE NOT EXISTS (SELECT FROM app.password_links o WHERE o.realm = 'portal_user' AND o.subject = $2 AND o.print_id = $8)
		ON CONFLICT (realm, subject) WHERE used_at IS NULL DO UPDATE
		SET token_hash = excluded.token_hash, purpose = excluded.purpose, expires_at = excluded.expires_at, made_at = excluded.made_at,
			address_version = excluded.address_version, way = excluded.way, code_hash = excluded.code_hash, print_id = excluded.print_id
		WHERE l.print_id IS DISTINCT FROM excluded.print_id`,
		digest, u.id, string(purpose), u.version, now, fact.ExpiresAt, hash, p.ID)
	if err != nil {
		return none(fmt.Errorf("keeping a letter: %w", err))
	}
	if tag.RowsAffected() == 0 {
		return none(ErrLetterMade)
	}
	return Letter{u.id, u.name, inGroups(name), inGroups(code), fact.ExpiresAt, !u.hasAccount}, digest, fact, nil
}

// giveUserName returns the user name of a portal user, who gets one if they have none.
func (g *Gate) giveUserName(ctx context.Context, u portalUser) (string, error) {
	for u.userName == "" {
		_, err := g.pool.Exec(ctx, `INSERT INTO app.user_names (portal_user_no, user_name, made_at) VALUES ($1, $2, $3) ON CONFLICT (portal_user_no) DO NOTHING`,
			u.no, newReadable(userNameLength), g.cfg.Facts.Now())
		if err != nil && store.Code(err) != store.UniqueViolation { // another has that name: try the next
			return "", fmt.Errorf("giving a portal user a user name: %w", err)
		}
		if u, err = g.portalUserByID(ctx, u.id); err != nil {
			return "", err
		}
	}
	return u.userName, nil
}

// LetterCode is what a person types from a letter.
type LetterCode struct{ UserName, Code string }

// letterOf is an active portal user whose letter can be used, with its digest and the hash of its code.
type letterOf struct {
	portalUser
	digest []byte
	hash   string
}

// WhoHasLetter returns the person who has a letter, without using it. It fails with [ErrLetterCode]
// or [TooSoon], and takes the same time, whatever is wrong: guesses are counted and recorded like
// guesses at the password of that user name.
func (g *Gate) WhoHasLetter(ctx context.Context, typed LetterCode) (Invited, error) {
	l, err := g.checkLetter(ctx, typed)
	return Invited{Name: l.name, Email: inGroups(l.userName), First: !l.hasAccount}, err
}

// AcceptLetter sets the password of the person who has a letter, ends their sessions and marks the
// letter as used. A second factor stays. It fails with [ErrLetterCode] or [TooSoon], or with
// [passwords.ErrRefused], after which the letter can still be used. Of two concurrent calls one
// succeeds.
func (g *Gate) AcceptLetter(ctx context.Context, typed LetterCode, password string) error {
	l, err := g.checkLetter(ctx, typed)
	if err != nil {
		return err
	}
	actor := policy.Subject{Realm: policy.RealmPortalUser, ID: l.id}.Actor()
	err = g.setPortalPassword(ctx, actor, l.portalUser, password, events.PasswordSet{Change: linkID(l.digest), How: events.ByLetter},
		func(tx pgx.Tx) error { return g.useLink(ctx, tx, portalLinks, l.digest) })
	if errors.Is(err, ErrInvitation) { // used or replaced since
		err = ErrLetterCode
	}
	return err
}

// checkLetter returns the person whose letter has the user name and the code.
func (g *Gate) checkLetter(ctx context.Context, typed LetterCode) (letterOf, error) {
	name, _ := signInName(typed.UserName)
	code, _ := readableSymbols(typed.Code, codeSymbols)
	lane := g.laneOf(ctx, policy.RealmPortalUser, name)
	known := g.knownBrowser(ctx, lane)
	if err := g.throttleSignIn(ctx, UsingLetter, lane); err != nil {
		return letterOf{}, err
	}
	ctx, leave, err := g.enter(ctx, lane, known)
	if err != nil {
		return letterOf{}, err
	}
	defer leave()
	// As at a sign-in, the try is counted as a failure before the code is checked.
	if err := g.countTry(ctx, lane.key); err != nil {
		return letterOf{}, err
	}
	l, err := g.letterOf(ctx, name)
	if err != nil && !errors.Is(err, ErrLetterCode) {
		return letterOf{}, err
	}
	match, _, err := g.passwords.matches(ctx, code, l.hash) // without a hash it takes as long
	if errors.As(err, new(TooSoon)) {
		err = errors.Join(err, g.uncountTry(ctx, lane.key))
	}
	if err != nil {
		return letterOf{}, err
	}
	if !match {
		reason := "wrong_code"
		if l.hash == "" {
			reason = "no_letter"
		}
		if err := g.recordFailure(ctx, events.SignIn{Account: string(policy.RealmPortalUser), ID: l.id, Method: events.ByLetterCode, Reason: reason}, known); err != nil {
			return letterOf{}, err
		}
		return letterOf{}, ErrLetterCode
	}
	return l, g.clearFailures(ctx, lane)
}

// letterOf returns the active portal user with a user name, and their letter if it can be used. It
// fails with [ErrLetterCode].
func (g *Gate) letterOf(ctx context.Context, name string) (letterOf, error) {
	l, err := one(ctx, g.pool, ErrLetterCode, func(row pgx.CollectableRow) (l letterOf, err error) {
		return l, row.Scan(&l.id, &l.digest, &l.hash)
	}, `SELECT u.portal_user_id, l.token_hash, coalesce(l.code_hash, '')
		FROM app.user_names n JOIN app.portal_users u USING (portal_user_no)
		LEFT JOIN app.password_links l ON l.realm = 'portal_user' AND l.subject = u.portal_user_id AND l.way = 'letter'
			AND l.used_at IS NULL AND l.expires_at > $2 AND l.address_version = u.email_version
		WHERE n.user_name = $1 AND u.active`, name, g.cfg.Facts.Now())
	if errors.Is(err, ErrLetterCode) {
		return l, err
	}
	if err == nil {
		l.portalUser, err = g.portalUserByID(ctx, l.id)
	}
	if err != nil {
		return l, fmt.Errorf("looking up a letter: %w", err)
	}
	return l, nil
}

// An Addressee is a portal user to whom a letter goes.
type Addressee struct {
	PortalUserID string
	Name         string
	Active       bool
	Email        bool              // they have an e-mail address that works, as far as is known
	UserName     string            // in groups, as it is printed; "": they have none
	SignsIn      bool              // they have a password, and an e-mail address or a user name
	Language     language.Language // they chose it; "": none
}

// NeedsWayIn reports whether only a letter can let them sign in.
func (a Addressee) NeedsWayIn() bool { return a.Active && !a.Email && !a.SignsIn }

// Addressees returns portal users in the order of their ids. Unknown ids are left out.
func (g *Gate) Addressees(ctx context.Context, ids []string) ([]Addressee, error) {
	rows, err := g.pool.Query(ctx, `
		SELECT u.portal_user_id, u.name, u.active, u.email <> '' AND NOT `+deadAddress+`, coalesce(n.user_name, ''),
			a.portal_user_no IS NOT NULL AND (u.email <> '' OR n.user_name IS NOT NULL), coalesce(a.language, '')
		FROM unnest($1::text[]) WITH ORDINALITY AS w (portal_user_id, place) JOIN app.portal_users u USING (portal_user_id)
		LEFT JOIN app.portal_accounts a USING (portal_user_no) LEFT JOIN app.user_names n USING (portal_user_no)
		ORDER BY w.place`, ids)
	if err != nil {
		return nil, fmt.Errorf("looking up to whom letters go: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Addressee])
	if err != nil && store.Code(err) != store.CharacterNotInRepertoire {
		return nil, fmt.Errorf("looking up to whom letters go: %w", err)
	}
	for i := range found {
		found[i].UserName = inGroups(found[i].UserName)
	}
	return found, nil
}
