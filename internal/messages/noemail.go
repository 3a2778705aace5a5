package messages

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// NoEmail is an active portal user without a working e-mail address.
type NoEmail struct {
	PortalUserNo int32
	PortalUserID string
	Name         string
	Since        *time.Time // nil if the directory has no address
	Said         string     // SendGrid's reason why the address does not work
	SignsInSince *time.Time // when their first password was set; nil: they can't sign in yet
	LetterUntil  *time.Time // when the code of their letter expires; nil: they have none that works
}

// Each half is read along an index. A dead address counts only while the directory still has
// that address.
const selectNoEmail = `
	SELECT f.*, app.signs_in_since(f.portal_user_id), l.expires_at FROM (
	(SELECT u.portal_user_no, u.portal_user_id, u.name, NULL::timestamptz AS since, '' AS said
	 FROM app.portal_users u
	 WHERE u.email = '' AND u.active AND u.portal_user_no > $1
	 ORDER BY u.portal_user_no LIMIT $2)
	UNION ALL
	(SELECT u.portal_user_no, u.portal_user_id, u.name, x.since, x.reason
	 FROM record.dead_addresses x JOIN app.portal_users u USING (portal_user_no)
	 WHERE x.portal_user_no > $1 AND u.active AND u.email <> '' AND u.email_version = x.address_version
	 ORDER BY u.portal_user_no LIMIT $2)
	ORDER BY 1 LIMIT $2) f
	LEFT JOIN app.password_links l ON l.realm = 'portal_user' AND l.subject = f.portal_user_id AND l.way = 'letter' AND l.used_at IS NULL AND l.expires_at > now()
	ORDER BY 1`

// WithoutEmail returns up to limit active portal users without a working address,
// with numbers above after, in order of number.
func (rd *Reader) WithoutEmail(ctx context.Context, after int32, limit int) ([]NoEmail, error) {
	rows, err := rd.pool.Query(ctx, selectNoEmail, after, limit)
	if err != nil {
		return nil, fmt.Errorf("looking for portal users without a working address: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (NoEmail, error) {
		n, err := pgx.RowToStructByPos[NoEmail](row)
		n.Since, n.SignsInSince, n.LetterUntil = utc(n.Since), utc(n.SignsInSince), utc(n.LetterUntil)
		return n, err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for portal users without a working address: %w", err)
	}
	return found, nil
}

// WhyNoAlert returns why a portal user would get no e-mail about a new message now, in words, ""
// if they would get one. Unknown ids fail with [ErrNoPortalUser].
func (rd *Reader) WhyNoAlert(ctx context.Context, portalUser string) (why string, err error) {
	err = rd.pool.QueryRow(ctx, `
		SELECT app.why_not_alerted(NULL, u.active, u.email, d.reason, o.portal_user_no IS NOT NULL)
		FROM app.portal_users u
		LEFT JOIN record.dead_addresses d ON d.portal_user_no = u.portal_user_no AND d.address_version = u.email_version
		LEFT JOIN record.alert_opt_outs o ON o.portal_user_no = u.portal_user_no
		WHERE u.portal_user_id = $1`, portalUser).Scan(&why)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", ErrNoPortalUser
	}
	if err != nil {
		return "", fmt.Errorf("reading why portal user %s gets no alerts: %w", portalUser, err)
	}
	return why, nil
}
