package audience

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory"
	"postern/internal/directory/audience/accounts"
	"postern/internal/directory/field"
)

// Member is a portal user in an audience, with the reason.
type Member struct {
	directory.PortalUser
	Reason Reason
}

// mostRead is how many portal users a page of an audience reads in the order of their
// number. If too few of them are members, the page finds the members of a group through
// its patients, who are few in that case. For all_portal_users the page ends early, and
// the next page continues.
const mostRead = 5_000

// Page returns a page of an audience, in order of number: at most limit members, and
// the cursor of the next page, "" at the end. It does not read the whole directory. It
// returns the same errors as [Of], and [directory.ErrCursor].
func Page(ctx context.Context, tx pgx.Tx, sel Selection, on time.Time, limit int, cursor string) (page []Member, next string, err error) {
	after, err := directory.ParseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = min(max(limit, 1), directory.MostPerPage)
	found, last, err := pageOf(ctx, tx, sel, on, limit, after)
	return shown(ctx, tx, found, last, err)
}

// PageWithoutEmail is like [Page], with only the members who have no e-mail address. They
// can't sign in, and are not alerted.
func PageWithoutEmail(ctx context.Context, tx pgx.Tx, sel Selection, on time.Time, limit int, cursor string) (page []Member, next string, err error) {
	after, err := directory.ParseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = min(max(limit, 1), directory.MostPerPage)
	found, last, err := pageWithoutEmail(ctx, tx, sel, on, limit, after)
	return shown(ctx, tx, found, last, err)
}

// shown returns the members of a page, and the cursor of the next page.
func shown(ctx context.Context, tx pgx.Tx, found []hit, last int32, err error) (page []Member, next string, failed error) {
	if err != nil {
		return nil, "", fmt.Errorf("reading a page of the audience: %w", err)
	}
	page, err = describe(ctx, tx, found)
	if err != nil {
		return nil, "", err
	}
	if last != 0 {
		next = strconv.Itoa(int(last))
	}
	return page, next, nil
}

// hit is a member by number.
type hit struct {
	no     int32
	reason Reason
}

// pageOf returns the members of a page, and the number after which the next page begins,
// 0 if there is none.
func pageOf(ctx context.Context, tx pgx.Tx, sel Selection, on time.Time, limit int, after int32) (found []hit, last int32, err error) {
	s, err := resolveSelection(ctx, tx, sel)
	if err != nil {
		return nil, 0, err
	}
	s.after(after)
	if s.chosen == 0 {
		for _, no := range s.added[:min(limit, len(s.added))] {
			found = append(found, hit{no, Added})
		}
		if len(s.added) > limit {
			last = found[limit-1].no
		}
		return found, last, nil
	}
	next := visitAfter
	for read, batch := 0, 4*limit; ; batch = min(2*batch, mostRead) {
		seen := 0
		err = next(ctx, tx, after, batch, field.Day(on), func(a *accounts.Account) bool {
			seen, after = seen+1, a.No
			if in, _ := s.classify(a); in != "" {
				found = append(found, hit{a.No, in})
			}
			return len(found) <= limit
		})
		switch {
		case err != nil:
			return nil, 0, err
		case len(found) > limit:
			return found[:limit], found[limit-1].no, nil
		case seen < batch:
			return found, 0, nil
		}
		if read += seen; read >= mostRead {
			if next = s.visitCandidates(); next == nil {
				return found, after, nil
			}
		}
	}
}

// pageWithoutEmail is pageOf for the portal users without an address. It reads only
// those, through their index: the active ones if a group is chosen (its members are all
// active), and those who were added by id.
func pageWithoutEmail(ctx context.Context, tx pgx.Tx, sel Selection, on time.Time, limit int, after int32) (found []hit, last int32, err error) {
	s, err := resolveSelection(ctx, tx, sel)
	if err != nil {
		return nil, 0, err
	}
	s.after(after)
	for read := 0; ; {
		seen, added := 0, append([]int32{}, s.added...)
		err = accounts.VisitFound(ctx, tx, withoutEmail, field.Day(on), func(a *accounts.Account) bool {
			seen, after = seen+1, a.No
			s.after(a.No - 1)
			if in, _ := s.classify(a); in != "" {
				found = append(found, hit{a.No, in})
			}
			return len(found) <= limit
		}, after, mostRead, added, s.chosen != 0)
		switch {
		case err != nil:
			return nil, 0, err
		case len(found) > limit:
			return found[:limit], found[limit-1].no, nil
		case seen < mostRead:
			return found, 0, nil
		}
		if read += seen; read >= 4*mostRead {
			return found, after, nil
		}
	}
}

// withoutEmail reads up to $2 accounts without an address after number $1: those of $3
// and, if $4 is true, all active ones (index portal_users_no_email).
const withoutEmail = `(SELECT u.* FROM app.portal_users u JOIN (
	(SELECT portal_user_no FROM app.portal_users WHERE email = '' AND active AND portal_user_no > $1 AND $4::boolean ORDER BY portal_user_no LIMIT $2)
	UNION (SELECT portal_user_no FROM app.portal_users WHERE email = '' AND portal_user_no > $1 AND portal_user_no = ANY($3::integer[]) ORDER BY portal_user_no LIMIT $2)
	ORDER BY portal_user_no LIMIT $2) AS those USING (portal_user_no))`

// visitAfter visits up to count accounts after a number, in order, until visit returns false.
func visitAfter(ctx context.Context, tx pgx.Tx, after int32, count int, day int32, visit func(*accounts.Account) bool) error {
	const next = `(SELECT * FROM app.portal_users WHERE portal_user_no > $1 ORDER BY portal_user_no LIMIT $2)`
	return accounts.VisitFound(ctx, tx, next, day, visit, after, count)
}

// visitCandidates returns a function like visitAfter that visits only the accounts that
// may be in the chosen group because of a patient, or were added. It returns nil if that
// may be any account.
func (s *selected) visitCandidates() func(ctx context.Context, tx pgx.Tx, after int32, count int, day int32, visit func(*accounts.Account) bool) error {
	candidates, ok := map[groups]string{active: candidatesActive, discharged: candidatesDischarged}[s.chosen]
	if !ok {
		return nil
	}
	return func(ctx context.Context, tx pgx.Tx, after int32, count int, day int32, visit func(*accounts.Account) bool) error {
		return accounts.VisitFound(ctx, tx, candidates, day, visit, after, count, append([]int32{}, s.added...))
	}
}

// The conditions match the indexes patients_active and patients_discharged, and
// memberOf.
var (
	candidatesActive     = fmt.Sprintf(candidates, `status = 'active' AND NOT deceased`)
	candidatesDischarged = fmt.Sprintf(candidates, `(status = 'discharged' OR deceased)`)
)

const candidates = `(SELECT * FROM app.portal_users WHERE portal_user_no IN (
	SELECT portal_user_no FROM app.patients JOIN app.links USING (patient_no) WHERE %s AND portal_user_no > $1
	UNION SELECT unnest($3::integer[])
	ORDER BY portal_user_no LIMIT $2))`

// describe reads the members' data and the patients that they are linked to.
func describe(ctx context.Context, q directory.Querier, found []hit) ([]Member, error) {
	nos := make([]int32, len(found))
	for i, h := range found {
		nos[i] = h.no
	}
	users, err := directory.Numbered(ctx, q, nos)
	if err != nil {
		return nil, err
	}
	page := make([]Member, 0, len(users))
	for _, u := range users {
		i := slices.Index(nos, u.No)
		page = append(page, Member{u, found[i].reason})
	}
	return page, nil
}
