package directory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Doubt is a reason to look again before sending to a portal user who was chosen by hand: the
// sender may mean another person, or others may learn of the message.
type Doubt struct {
	PortalUserID string
	Kind         DoubtKind
	Others       []string // the names of the other portal users, at most five
}

// A DoubtKind is a kind of [Doubt].
type DoubtKind string

const (
	// SameName is another portal user with the same name, as package folding compares names.
	SameName DoubtKind = "same_name"
	// SharedAddress is an active portal user with the same e-mail address: who reads the alert learns
	// that there is a message, and doesn't learn for whom.
	SharedAddress DoubtKind = "shared_address"
	// MinorsAddress is the account of a patient under 18 whose e-mail address is that of a representative of
	// theirs: a message to the patient alone is announced to the representative.
	MinorsAddress DoubtKind = "minors_address"
)

// DoubtKinds are all kinds, the most serious first.
var DoubtKinds = []DoubtKind{MinorsAddress, SameName, SharedAddress}

// mostOthers is how many others a doubt names.
const mostOthers = 5

// ofAge is the age from which a patient's account is theirs alone.
const ofAge = 18

// Doubts returns the doubts about portal users with these ids, by kind as in [DoubtKinds]. Unknown
// ids have none.
func Doubts(ctx context.Context, q Querier, ids []string, on time.Time) ([]Doubt, error) {
	found, err := sharedAddresses(ctx, q, ids, on)
	if err != nil {
		return nil, err
	}
	same, err := namesakes(ctx, q, ids)
	if err != nil {
		return nil, err
	}
	found = append(found, same...)
	slices.SortStableFunc(found, func(a, b Doubt) int { return slices.Index(DoubtKinds, a.Kind) - slices.Index(DoubtKinds, b.Kind) })
	return found, nil
}

func sharedAddresses(ctx context.Context, q Querier, ids []string, on time.Time) (found []Doubt, err error) {
	rows, err := q.Query(ctx, `
		WITH shared AS (
			SELECT u.portal_user_id, u.portal_user_no, o.portal_user_no AS other_no, o.name, EXISTS (
				SELECT FROM app.links l JOIN app.patients p USING (patient_no)
				JOIN app.links r ON r.patient_no = l.patient_no AND r.portal_user_no = o.portal_user_no AND r.relationship = 'representative'
				WHERE l.portal_user_no = u.portal_user_no AND l.relationship = 'self' AND p.birth_date > $2::date) AS minors
			FROM app.portal_users u
			JOIN app.portal_users o ON lower(o.email) = lower(u.email) AND o.email <> '' AND o.active AND o.portal_user_no <> u.portal_user_no
			WHERE u.portal_user_id = ANY($1) AND u.email <> '')
		SELECT portal_user_id, minors, (array_agg(name ORDER BY other_no))[:$3]
		FROM shared GROUP BY portal_user_no, portal_user_id, minors ORDER BY portal_user_no`,
		ids, on.AddDate(-ofAge, 0, 0).Format(time.DateOnly), mostOthers)
	if err != nil {
		return nil, fmt.Errorf("looking for shared addresses: %w", err)
	}
	var d Doubt
	var minors bool
	_, err = pgx.ForEachRow(rows, []any{&d.PortalUserID, &minors, &d.Others}, func() error {
		d.Kind = SharedAddress
		if minors {
			d.Kind = MinorsAddress
		}
		found = append(found, Doubt{d.PortalUserID, d.Kind, slices.Clone(d.Others)})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for shared addresses: %w", err)
	}
	return found, nil
}

func namesakes(ctx context.Context, q Querier, ids []string) (found []Doubt, err error) {
	// The hash is that of the index portal_users_namesakes.
	rows, err := q.Query(ctx, `
		SELECT u.portal_user_id, o.names
		FROM app.portal_users u, LATERAL (
			SELECT array_agg(name ORDER BY portal_user_no) AS names FROM (
				SELECT name, portal_user_no FROM app.portal_users
				WHERE hashtextextended(words::text, 0) = hashtextextended(u.words::text, 0) AND words = u.words AND portal_user_no <> u.portal_user_no
				LIMIT $2) same) o
		WHERE u.portal_user_id = ANY($1) AND u.words <> '' AND o.names IS NOT NULL
		ORDER BY u.portal_user_no`, ids, mostOthers)
	if err != nil {
		return nil, fmt.Errorf("looking for namesakes: %w", err)
	}
	d := Doubt{Kind: SameName}
	_, err = pgx.ForEachRow(rows, []any{&d.PortalUserID, &d.Others}, func() error {
		found = append(found, Doubt{d.PortalUserID, d.Kind, slices.Clone(d.Others)})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for namesakes: %w", err)
	}
	return found, nil
}
