package directory

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Portal users whose ids or numbers are known.

// PortalUsers returns the portal users with the numbers, without their patients. Unknown
// numbers are not in the result.
func PortalUsers(ctx context.Context, q Querier, nos []int32) (map[int32]PortalUser, error) {
	rows, err := q.Query(ctx, `
		SELECT portal_user_no, portal_user_id, name, email, active FROM app.portal_users
		WHERE portal_user_no = ANY($1)`, nos)
	if err != nil {
		return nil, fmt.Errorf("reading portal users: %w", err)
	}
	found := make(map[int32]PortalUser, len(nos))
	var u PortalUser
	_, err = pgx.ForEachRow(rows, []any{&u.No, &u.ID, &u.Name, &u.Email, &u.Active}, func() error {
		found[u.No] = u
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading portal users: %w", err)
	}
	return found, nil
}

// Numbered returns the portal users with the numbers, with their patients, in order of
// number, at most [MostPerPage]. Unknown numbers are left out.
func Numbered(ctx context.Context, q Querier, nos []int32) ([]PortalUser, error) {
	const these = `SELECT no AS portal_user_no FROM unnest($3::integer[]) AS no WHERE no > $1 LIMIT $2`
	users, _, err := readPage(ctx, q, these, MostPerPage, "", nos)
	return users, err
}

// Named returns the portal users with the ids, in the order of the ids, at most
// [MostPerPage]. Unknown ids are left out.
func Named(ctx context.Context, q Querier, ids []string) ([]PortalUser, error) {
	const these = `SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = ANY($3) AND portal_user_no > $1 LIMIT $2`
	ids = ids[:min(len(ids), MostPerPage)]
	users, _, err := readPage(ctx, q, these, MostPerPage, "", ids)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(users, func(a, b PortalUser) int { return slices.Index(ids, a.ID) - slices.Index(ids, b.ID) })
	return users, nil
}

// LookUp returns the numbers of the portal users with the ids, ascending, each once, and the
// ids that no portal user has, in the order given.
func LookUp(ctx context.Context, q Querier, ids []string) (nos []int32, unknown []string, err error) {
	if len(ids) == 0 {
		return nil, nil, nil
	}
	rows, err := q.Query(ctx,
		`SELECT portal_user_no, portal_user_id FROM app.portal_users WHERE portal_user_id = ANY($1) ORDER BY portal_user_no`, ids)
	if err != nil {
		return nil, nil, fmt.Errorf("looking portal users up: %w", err)
	}
	known := make(map[string]bool, len(ids))
	var no int32
	var id string
	_, err = pgx.ForEachRow(rows, []any{&no, &id}, func() error {
		nos = append(nos, no)
		known[id] = true
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("looking portal users up: %w", err)
	}
	for _, id := range ids {
		if !known[id] {
			known[id] = true
			unknown = append(unknown, id)
		}
	}
	return nos, unknown, nil
}

// CheckIDs is [LookUp] without the numbers.
func CheckIDs(ctx context.Context, q Querier, ids []string) (unknown []string, err error) {
	_, unknown, err = LookUp(ctx, q, ids)
	return unknown, err
}
