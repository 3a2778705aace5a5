package directory

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// Member is somebody in an audience, and why.
type Member struct {
	PortalUser
	Reason Reason
}

// mostRead is how many portal users a page of an audience goes through in the order
// of their number. If too few of them are members, the page looks for the members of
// a group by its patients, who are few then; of all portal users it ends early, and
// the next page goes on.
const mostRead = 5_000

// Page gives a page of an audience, in order of number: at most limit members, and
// the cursor of the page after it, "" at the end. It does not read the whole
// directory. It fails as [Audience] does, and with [ErrCursor].
func Page(ctx context.Context, tx pgx.Tx, sel Selection, on time.Time, limit int, cursor string) (page []Member, next string, err error) {
	after, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = min(max(limit, 1), MostPerPage)
	found, last, err := pageOf(ctx, tx, sel, on, limit, after)
	return shown(ctx, tx, found, last, err)
}

// PageWithoutEmail is [Page] of the members who have no e-mail address: they can't sign
// in, and are not alerted.
func PageWithoutEmail(ctx context.Context, tx pgx.Tx, sel Selection, on time.Time, limit int, cursor string) (page []Member, next string, err error) {
	after, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = min(max(limit, 1), MostPerPage)
	found, last, err := pageWithoutEmail(ctx, tx, sel, on, limit, after)
	return shown(ctx, tx, found, last, err)
}

// shown is a page of members, and the cursor of the next.
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

// pageOf gives the members of a page, and the number after which the next one
// begins, 0 where there is none.
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
		err = next(ctx, tx, after, batch, dayOf(on), func(a *account) bool {
			seen, after = seen+1, a.no
			if in, _ := s.classify(a); in != "" {
				found = append(found, hit{a.no, in})
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

// pageWithoutEmail is pageOf among the portal users who have no address. It reads those
// alone, along their index: the active ones where a group is chosen, whose members all
// are, and those who were added one by one.
func pageWithoutEmail(ctx context.Context, tx pgx.Tx, sel Selection, on time.Time, limit int, after int32) (found []hit, last int32, err error) {
	s, err := resolveSelection(ctx, tx, sel)
	if err != nil {
		return nil, 0, err
	}
	s.after(after)
	for read := 0; ; {
		rows, err := tx.Query(ctx, withoutEmail, binaryResults, after, mostRead, append([]int32{}, s.added...), s.chosen != 0)
		if err != nil {
			return nil, 0, fmt.Errorf("reading portal users: %w", err)
		}
		seen := 0
		err = visitRows(rows, dayOf(on), func(a *account) bool {
			seen, after = seen+1, a.no
			s.after(a.no - 1)
			if in, _ := s.classify(a); in != "" {
				found = append(found, hit{a.no, in})
			}
			return len(found) <= limit
		})
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

// withoutEmail reads up to $2 accounts without an address after $1: those of $3, and,
// where $4 says so, all active ones (index portal_users_no_email).
var withoutEmail = fmt.Sprintf(accountsOf, `(SELECT u.* FROM app.portal_users u JOIN (
	(SELECT portal_user_no FROM app.portal_users WHERE email = '' AND active AND portal_user_no > $1 AND $4::boolean ORDER BY portal_user_no LIMIT $2)
	UNION (SELECT portal_user_no FROM app.portal_users WHERE email = '' AND portal_user_no > $1 AND portal_user_no = ANY($3::integer[]) ORDER BY portal_user_no LIMIT $2)
	ORDER BY portal_user_no LIMIT $2) AS those USING (portal_user_no))`)

// visitCandidates gives the visit, in the way of visitAfter, of those accounts alone
// that can be in the chosen group because of a patient, or were added; nil where that
// can be anybody.
func (s *selected) visitCandidates() func(ctx context.Context, tx pgx.Tx, after int32, count int, day int32, visit func(*account) bool) error {
	candidates, ok := map[groups]string{active: candidatesActive, discharged: candidatesDischarged}[s.chosen]
	if !ok {
		return nil
	}
	return func(ctx context.Context, tx pgx.Tx, after int32, count int, day int32, visit func(*account) bool) error {
		rows, err := tx.Query(ctx, candidates, binaryResults, after, count, append([]int32{}, s.added...))
		if err != nil {
			return fmt.Errorf("reading portal users: %w", err)
		}
		return visitRows(rows, day, visit)
	}
}

// Their conditions are those of the indexes patients_active and patients_discharged,
// and of [link.brings].
var (
	candidatesActive     = fmt.Sprintf(accountsOf, fmt.Sprintf(candidates, `status = 'active' AND NOT deceased`))
	candidatesDischarged = fmt.Sprintf(accountsOf, fmt.Sprintf(candidates, `(status = 'discharged' OR deceased)`))
)

const candidates = `(SELECT * FROM app.portal_users WHERE portal_user_no IN (
	SELECT portal_user_no FROM app.patients JOIN app.links USING (patient_no) WHERE %s AND portal_user_no > $1
	UNION SELECT unnest($3::integer[])
	ORDER BY portal_user_no LIMIT $2))`

// describe tells who the members are and whom they are linked to.
func describe(ctx context.Context, q Querier, found []hit) ([]Member, error) {
	nos := make([]int32, len(found))
	for i, h := range found {
		nos[i] = h.no
	}
	const these = `SELECT no AS portal_user_no FROM unnest($3::integer[]) AS no WHERE no > $1 LIMIT $2`
	users, _, err := readPage(ctx, q, these, MostPerPage, "", nos)
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

// Named gives the portal users of the ids, in the order of these, at most
// [MostPerPage]. An id that nobody has is left out.
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
