package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/internal/access/factor"
	"postern/internal/access/policy"
	"postern/internal/text/language"

	"github.com/jackc/pgx/v5"
)

// PortalAccount is the state of a portal user's sign-in.
type PortalAccount struct {
	PasswordSince *time.Time // when the password was set; nil: there is none
	InvitedUntil  *time.Time // when the link that sets a password expires; nil: there is none
	LetterUntil   *time.Time // when the code of a letter expires; nil: there is none
	UserName      string     // in groups, as it is printed; "": they have none
	Dead          bool       // the e-mail address does not work
	SecondFactors []factor.Kind
	// AddressVersion counts the changes of the e-mail address.
	AddressVersion int
	// UnconfirmedUntil is until when no link to set a password goes to the address, because it
	// changed; nil: it never had to wait, or is confirmed. A time that has passed is the same as
	// nil.
	UnconfirmedUntil *time.Time
	// FormerTold says how far the former address was told of the last change: "waiting", "sent",
	// "none", "given_up"; "" if the address did not change in the last days.
	FormerTold string
}

// Unconfirmed reports whether no link may be sent to the address at a time.
func (a PortalAccount) Unconfirmed(now time.Time) bool {
	return a.UnconfirmedUntil != nil && a.UnconfirmedUntil.After(now)
}

// FactorNames returns the kinds of their second factors, in words.
func (a PortalAccount) FactorNames() []string { return factor.Names(a.SecondFactors) }

// PortalAccount returns the state of a portal user's sign-in, active or not. It fails
// with [ErrNoPortalUser].
func (g *Gate) PortalAccount(ctx context.Context, portalUserID string) (PortalAccount, error) {
	account, err := one(ctx, g.pool, ErrNoPortalUser, pgx.RowToStructByPos[PortalAccount], `
		SELECT a.changed_at, CASE i.way WHEN 'link' THEN i.expires_at END, CASE i.way WHEN 'letter' THEN i.expires_at END, coalesce(n.user_name, ''), `+deadAddress+`, `+fmt.Sprintf(kindsInForce, "'portal_user'", "u.portal_user_id")+`,
			u.email_version, app.unconfirmed_until(u.portal_user_no, u.email_version),
			coalesce((SELECT notice FROM app.address_changes c WHERE c.portal_user_no = u.portal_user_no AND c.address_version = u.email_version), '')
		FROM app.portal_users u
		LEFT JOIN app.portal_accounts a USING (portal_user_no)
		LEFT JOIN app.user_names n USING (portal_user_no)
		LEFT JOIN app.password_links i ON i.realm = 'portal_user' AND i.subject = u.portal_user_id AND i.used_at IS NULL AND i.expires_at > $2 AND i.address_version = u.email_version
		WHERE u.portal_user_id = $1`, portalUserID, g.cfg.Facts.Now())
	if err != nil && !errors.Is(err, ErrNoPortalUser) {
		err = fmt.Errorf("reading a portal user's account: %w", err)
	}
	account.UserName = inGroups(account.UserName)
	return account, err
}

// ChooseLanguage stores the language in which a person gets pages and e-mails. It is a preference, on
// which no evidence depends, so it is not recorded: see ADR 87.
func (g *Gate) ChooseLanguage(ctx context.Context, who policy.Subject, l language.Language) error {
	sql, id := `UPDATE app.portal_accounts SET language = $2 WHERE portal_user_no = $1`, any(who.No)
	if who.Realm == policy.RealmStaff {
		sql, id = `UPDATE app.staff_accounts SET language = $2 WHERE staff_id = $1`, who.ID
	}
	if _, err := g.pool.Exec(ctx, sql, id, string(l)); err != nil {
		return fmt.Errorf("storing the language of a person: %w", err)
	}
	return nil
}

// LanguageOf returns the language that a portal user or staff member chose; "" for none.
func (g *Gate) LanguageOf(ctx context.Context, realm policy.Realm, id string) (l language.Language, err error) {
	sql := `SELECT a.language FROM app.portal_accounts a JOIN app.portal_users u USING (portal_user_no) WHERE u.portal_user_id = $1`
	if realm == policy.RealmStaff {
		sql = `SELECT language FROM app.staff_accounts WHERE staff_id = $1`
	}
	if err := g.pool.QueryRow(ctx, `SELECT coalesce((`+sql+`), '')`, id).Scan(&l); err != nil {
		return "", fmt.Errorf("reading the language of a person: %w", err)
	}
	return l, nil
}
