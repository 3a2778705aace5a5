package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"postern/internal/access/factor"
	"postern/internal/access/passkey"
	"postern/internal/access/policy"
	"postern/internal/limits"
	"postern/internal/text/language"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// A passkey is the second factor beside a password, and signs in alone if its authenticator
// verifies its user: then it is something that the person has and something that they are or
// know, and a page of another site can't ask for it.
//
// The challenge is kept in the session, as a ceremony, and is good for one answer.

var (
	// ErrWrongPasskey says that a passkey was not accepted.
	ErrWrongPasskey = errors.New("this passkey was not accepted: try again, or sign in another way")
	// ErrClonedPasskey says that there may be a copy of a passkey: its counter went backwards.
	ErrClonedPasskey = errors.New("this passkey was refused, because there may be a copy of it: sign in another way, remove it at your account, and add a new one")
	// ErrNoCeremony says that nothing waits for the answer of a passkey, or no longer.
	ErrNoCeremony = errors.New("it took too long, or this page was used before: try again")
	// ErrPasskeyName says that the name of a passkey is empty, too long or can't be seen.
	ErrPasskeyName = error(language.NewError(language.Message{One: "A name has 1 to {n} character, all of them visible.",
		ID: "A name has 1 to {n} characters, all of them visible.", N: int(limits.PasskeyName)}))
	// ErrTooManyPasskeys says that a person has as many passkeys as they can have.
	ErrTooManyPasskeys = error(language.NewError(language.Message{One: "You have {n} passkey: remove one first.", ID: "You have {n} passkeys: remove one first.", N: int(limits.Passkeys)}))
)

// PasskeysAt reports whether passkeys can be made and used on a page of this host.
func (g *Gate) PasskeysAt(host string) bool { return g.cfg.Passkeys.At(host) }

// The purposes of a ceremony.
const (
	adding    = "add"
	proving   = "prove"   // after the password
	signingIn = "sign_in" // without a password
)

// ceremony is what a session keeps until the answer of a passkey.
type ceremony struct {
	Purpose string    `json:"purpose"`
	State   string    `json:"state"` // of package passkey
	Name    string    `json:"name,omitempty"`
	Handle  []byte    `json:"handle,omitempty"`
	Until   time.Time `json:"until"`
}

func (g *Gate) keepCeremony(ctx context.Context, realm policy.Realm, c ceremony) error {
	c.Until = g.cfg.Facts.Now().Add(halfwayLifetime)
	kept, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("keeping a challenge: %w", err)
	}
	g.ofRealm(realm).sessions.Put(ctx, ceremonyKey, string(kept))
	return nil
}

// takeCeremony returns and deletes the ceremony of the session. It fails with [ErrNoCeremony].
func (g *Gate) takeCeremony(ctx context.Context, realm policy.Realm, purpose string) (c ceremony, err error) {
	kept := g.ofRealm(realm).sessions.PopString(ctx, ceremonyKey)
	if kept == "" || g.cfg.Passkeys == nil {
		return c, ErrNoCeremony
	}
	if err := json.Unmarshal([]byte(kept), &c); err != nil {
		return c, fmt.Errorf("reading a challenge: %w", err)
	}
	if c.Purpose != purpose || !g.cfg.Facts.Now().Before(c.Until) {
		return c, ErrNoCeremony
	}
	return c, nil
}

// BeginPasskey begins to add a passkey for a person, who must give their password, and returns the
// options for their browser, on a page of host. It fails with [ErrNoCeremony] if there are no
// passkeys at this host, with [ErrPasskeyName] or [ErrTooManyPasskeys], joined with
// [passwords.ErrCurrent] where that is wrong too, or with [TooSoon].
func (g *Gate) BeginPasskey(ctx context.Context, who policy.Subject, host, name, password string) (options string, err error) {
	if !g.PasskeysAt(host) {
		return "", ErrNoCeremony
	}
	name, wrong := cleanName(name, limits.PasskeyName, ErrPasskeyName)
	person, err := g.personOf(ctx, who)
	if err != nil {
		return "", err
	}
	if len(person.Credentials) >= int(limits.Passkeys) {
		wrong = errors.Join(wrong, ErrTooManyPasskeys)
	}
	if _, err := g.provePassword(ctx, who, password); err != nil || wrong != nil {
		return "", errors.Join(wrong, err)
	}
	options, state, err := g.cfg.Passkeys.BeginAdd(person)
	if err != nil {
		return "", err
	}
	return options, g.keepCeremony(ctx, who.Realm, ceremony{Purpose: adding, State: state, Name: name, Handle: person.Handle})
}

// AddPasskey adds the passkey that the browser made after [Gate.BeginPasskey]. It returns recovery
// codes, which can't be shown again, if the person had none, and ends all their sessions:
// [Gate.Begin] begins a new one. It fails with [ErrNoCeremony] or [ErrWrongPasskey].
func (g *Gate) AddPasskey(ctx context.Context, who policy.Subject, answer string) (recovery []string, err error) {
	c, err := g.takeCeremony(ctx, who.Realm, adding)
	if err != nil {
		return nil, err
	}
	made, err := g.cfg.Passkeys.FinishAdd(passkey.Person{Handle: c.Handle}, c.State, answer)
	if err != nil {
		return nil, refused(err)
	}
	id := uuid.New()
	tag, err := g.pool.Exec(ctx, `INSERT INTO app.passkeys
		(change_id, realm, subject, name, host, handle, credential_id, public_key, sign_count, backup_eligible, transports, made_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (credential_id) DO NOTHING`,
		id, string(who.Realm), who.ID, c.Name, g.cfg.Passkeys.Host(), c.Handle, made.ID, made.PublicKey, int64(made.SignCount), made.BackupEligible, made.Transports, g.cfg.Facts.Now())
	if err != nil {
		return nil, fmt.Errorf("keeping a passkey: %w", err)
	}
	if tag.RowsAffected() == 0 { // the id of another passkey, which no authenticator makes
		return nil, ErrWrongPasskey
	}
	return g.recordAdded(ctx, who, events.SecondFactor{What: events.FactorAdded, Change: id, Kind: factor.Passkey})
}

// refused is the error for people, for an answer that package passkey refused.
func refused(err error) error {
	switch {
	case errors.Is(err, passkey.ErrCloned):
		return ErrClonedPasskey
	case errors.Is(err, passkey.ErrWrong), errors.Is(err, passkey.ErrUnknown):
		return ErrWrongPasskey
	}
	return err
}

// personOf returns the owner of passkeys, with those that the record has and that work at this
// address.
func (g *Gate) personOf(ctx context.Context, who policy.Subject) (passkey.Person, error) {
	email, err := g.addressOf(ctx, who)
	if err != nil {
		return passkey.Person{}, err
	}
	person := passkey.Person{Name: email, DisplayName: who.Name}
	if who.Realm == policy.RealmPortalUser && who.Name != "" { // families share an address
		person.Name = who.Name + ", " + email
	}
	rows, err := g.pool.Query(ctx, `SELECT p.handle, p.credential_id, p.public_key, p.sign_count, p.backup_eligible, p.transports
		FROM app.passkeys p JOIN record.second_factors USING (change_id)
		WHERE p.realm = $1 AND p.subject = $2 AND p.host = $3 ORDER BY p.made_at`, string(who.Realm), who.ID, g.cfg.Passkeys.Host())
	if err != nil {
		return person, fmt.Errorf("reading passkeys: %w", err)
	}
	person.Credentials, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c passkey.Credential, err error) {
		return c, row.Scan(&person.Handle, &c.ID, &c.PublicKey, &c.SignCount, &c.BackupEligible, &c.Transports)
	})
	if err != nil {
		return person, fmt.Errorf("reading passkeys: %w", err)
	}
	if person.Handle == nil {
		person.Handle = make([]byte, 32)
		_, _ = rand.Read(person.Handle) // never fails, see crypto/rand
	}
	return person, nil
}

// BeginSecondPasskey begins to ask the person whose password was right for a passkey. The options
// are "" if they have none that works here.
func (g *Gate) BeginSecondPasskey(ctx context.Context, realm policy.Realm, host string) (options string, err error) {
	who, _, err := g.halfway(ctx, realm)
	if err != nil || !g.PasskeysAt(host) {
		return "", err
	}
	person, err := g.personOf(ctx, who)
	if err != nil || len(person.Credentials) == 0 {
		return "", err
	}
	options, state, err := g.cfg.Passkeys.BeginUse(person)
	if err != nil {
		return "", err
	}
	return options, g.keepCeremony(ctx, realm, ceremony{Purpose: proving, State: state})
}

// SignInWithPasskey is [Gate.SignInWithCode] with a passkey, after [Gate.BeginSecondPasskey]. It
// fails with [ErrNotHalfway], [ErrNoCeremony], [ErrWrongPasskey], [ErrClonedPasskey] or [TooSoon].
func (g *Gate) SignInWithPasskey(ctx context.Context, realm policy.Realm, answer string) (policy.Subject, error) {
	who, lane, err := g.halfway(ctx, realm)
	if err != nil {
		return policy.Subject{}, err
	}
	c, err := g.takeCeremony(ctx, realm, proving)
	if err != nil {
		return policy.Subject{}, err
	}
	if err := errors.Join(g.countTry(ctx, lane.key), g.countSecond(ctx, lane)); err != nil {
		return policy.Subject{}, err
	}
	person, err := g.personOf(ctx, who)
	if err != nil {
		return policy.Subject{}, err
	}
	used, err := g.cfg.Passkeys.FinishUse(person, c.State, answer)
	if err == nil {
		err = g.markUsed(ctx, used, c)
	}
	if err := g.conclude(ctx, lane, who, events.ByPasswordAndPasskey, refused(err)); err != nil {
		return policy.Subject{}, err
	}
	return g.signedIn(ctx, who, events.ByPasswordAndPasskey)
}

// markUsed stores that a passkey was used, and its counter. A challenge counts once, also if two
// answers come at the same time: then it fails with [ErrWrongPasskey].
func (g *Gate) markUsed(ctx context.Context, used passkey.Credential, c ceremony) error {
	sum := sha256.Sum256([]byte(c.State))
	tag, err := g.pool.Exec(ctx, `UPDATE app.passkeys p SET sign_count = greatest(sign_count, $2), used_at = $3, last_challenge = $4
		WHERE credential_id = $1 AND last_challenge IS DISTINCT FROM $4
		AND EXISTS (SELECT FROM record.second_factors r WHERE r.change_id = p.change_id)`, used.ID, int64(used.SignCount), g.cfg.Facts.Now(), sum[:])
	if err != nil {
		return fmt.Errorf("marking a passkey as used: %w", err)
	}
	if tag.RowsAffected() != 1 {
		return ErrWrongPasskey
	}
	return nil
}

// BeginPasskeySignIn begins a sign-in with a passkey alone, and returns the options for the
// browser. It fails with [TooSoon], or with [ErrNoCeremony] if there are no passkeys at this host.
func (g *Gate) BeginPasskeySignIn(ctx context.Context, realm policy.Realm, host string) (options string, err error) {
	if !g.PasskeysAt(host) {
		return "", ErrNoCeremony
	}
	if err := g.Throttle(ctx, purposeOf(realm)); err != nil {
		return "", err
	}
	options, state, err := g.cfg.Passkeys.BeginSignIn()
	if err != nil {
		return "", err
	}
	return options, g.keepCeremony(ctx, realm, ceremony{Purpose: signingIn, State: state})
}

func purposeOf(realm policy.Realm) Purpose {
	if realm == policy.RealmStaff {
		return SigningInStaff
	}
	return SigningInPortal
}

// SignInByPasskey returns the person who has a passkey, after [Gate.BeginPasskeySignIn]. It needs
// no password: the authenticator has verified its user. It returns after the event of the success or
// failure is stored, or the failure is counted. It fails with [ErrNoCeremony], [ErrWrongPasskey] or
// [ErrClonedPasskey].
func (g *Gate) SignInByPasskey(ctx context.Context, realm policy.Realm, answer string) (policy.Subject, error) {
	c, err := g.takeCeremony(ctx, realm, signingIn)
	if err != nil {
		return policy.Subject{}, err
	}
	who := policy.Subject{Realm: realm}
	used, err := g.cfg.Passkeys.FinishSignIn(c.State, answer, func(credentialID []byte) (passkey.Person, error) {
		var err error
		if who.ID, err = g.ownerOf(ctx, realm, credentialID); err != nil {
			return passkey.Person{}, err
		}
		return g.personOf(ctx, who)
	})
	if err == nil {
		err = g.markUsed(ctx, used, c)
	}
	if err != nil {
		return policy.Subject{}, g.refusePasskey(ctx, who, err)
	}
	email, err := g.addressOf(ctx, who)
	if err != nil {
		return policy.Subject{}, g.refusePasskey(ctx, who, err)
	}
	if err := g.conclude(ctx, g.laneOf(ctx, realm, email), who, events.ByPasskey, nil); err != nil {
		return policy.Subject{}, err
	}
	return g.signedIn(ctx, who, events.ByPasskey)
}

// refusePasskey records that a sign-in with a passkey alone failed, and returns the error for
// people. Only where the signature was right is the failure certainly the owner's.
func (g *Gate) refusePasskey(ctx context.Context, who policy.Subject, err error) error {
	reason, known := "", false
	switch {
	case errors.Is(err, policy.ErrUnauthenticated):
		reason, err = "inactive", ErrWrongPasskey
	case errors.Is(err, passkey.ErrUnknown):
		reason, err = "unknown_passkey", ErrWrongPasskey
	case errors.Is(err, passkey.ErrCloned):
		reason, known, err = reasons[ErrClonedPasskey], true, ErrClonedPasskey
	case errors.Is(err, passkey.ErrWrong), errors.Is(err, ErrWrongPasskey):
		reason, err = reasons[ErrWrongPasskey], ErrWrongPasskey
	default:
		return err
	}
	fact := events.SignIn{Account: string(who.Realm), ID: who.ID, Method: events.ByPasskey, Reason: reason}
	if err := g.recordFailure(ctx, fact, known); err != nil {
		return err
	}
	return err
}

// ownerOf returns whose passkey of a realm it is. It fails with [passkey.ErrUnknown].
func (g *Gate) ownerOf(ctx context.Context, realm policy.Realm, credentialID []byte) (string, error) {
	id, err := one(ctx, g.pool, passkey.ErrUnknown, pgx.RowTo[string], `SELECT p.subject FROM app.passkeys p JOIN record.second_factors USING (change_id)
		WHERE p.credential_id = $1 AND p.realm = $2`, credentialID, string(realm))
	if err != nil && !errors.Is(err, passkey.ErrUnknown) {
		err = fmt.Errorf("looking up a passkey: %w", err)
	}
	return id, err
}
