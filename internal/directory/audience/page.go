package audience

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"postern/internal/directory"
	"postern/internal/directory/audience/matter"
	"postern/internal/directory/people"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/rosterstore"
)

// Member is a portal user in an audience, with the reason, and with whose matter the message to them
// is.
type Member struct {
	directory.PortalUser
	Reason Reason
	Matter matter.Matter
}

// Page returns a page of an audience, in order of number: at most limit members, and
// the cursor of the next page, "" at the end. It reads facts until the page is full. It
// returns the same errors as [Preview], and [directory.ErrCursor].
func Page(ctx context.Context, db directory.Beginner, sel Selection, on time.Time, limit int, cursor string) (page []Member, next string, err error) {
	return readPage(ctx, db, sel, on, limit, cursor, func(*roster.Person) bool { return true })
}

// PageWithoutEmail is like [Page], with only the members who have no e-mail address. They
// can't sign in, and are not alerted.
func PageWithoutEmail(ctx context.Context, db directory.Beginner, sel Selection, on time.Time, limit int, cursor string) (page []Member, next string, err error) {
	return readPage(ctx, db, sel, on, limit, cursor, func(p *roster.Person) bool { return !p.Addressed })
}

// readPage returns a page of the members who are listed.
func readPage(ctx context.Context, db directory.Beginner, sel Selection, on time.Time, limit int, cursor string, listed func(*roster.Person) bool) (page []Member, next string, err error) {
	after, err := directory.ParseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = min(max(limit, 1), directory.MostPerPage)
	err = evaluate(ctx, db, sel, on, func(snapshot *rosterstore.Snapshot, s *selected) error {
		var nos []int32
		var reasons []Reason
		err := s.visit(ctx, snapshot, after, func(_ *rosterstore.Block, p *roster.Person, in, _ Reason) bool {
			if in != "" && listed(p) {
				nos, reasons = append(nos, p.No), append(reasons, in)
			}
			return len(nos) <= limit
		})
		if err != nil {
			return err
		}
		if len(nos) > limit {
			nos, next = nos[:limit], strconv.Itoa(int(nos[limit-1]))
		}
		users, err := directory.Numbered(ctx, snapshot.Tx, nos)
		page = make([]Member, 0, len(users))
		for _, u := range users {
			page = append(page, Member{PortalUser: u, Reason: reasons[slices.Index(nos, u.No)]})
		}
		if err != nil {
			return err
		}
		return s.matters(ctx, snapshot.Tx, sel, page)
	})
	if err != nil {
		return nil, "", fmt.Errorf("reading a page of the audience: %w", err)
	}
	return page, next, nil
}

// matters sets whose matter the message to each member of a page is.
func (s *selected) matters(ctx context.Context, q directory.Querier, sel Selection, page []Member) error {
	nos := make([]int32, len(page))
	for i, m := range page {
		nos[i] = m.No
	}
	of, at := sel.picks(), 0
	return people.Numbered(ctx, q, nos, func(p *roster.Person) bool {
		for page[at].No != p.No {
			at++
		}
		said := matter.Statement{States: true, Groups: s.chosen}
		if page[at].Reason == Added {
			said.About = map[string][]string{p.ID: of.about(p, s.day)}
		}
		page[at].Matter = said.OfPerson(p, s.day)
		return true
	})
}
