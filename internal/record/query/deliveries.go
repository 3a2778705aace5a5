package query

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/directory/block"
	"postern/internal/inbox/delivered"
)

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// A person is a portal user.
type person struct {
	no int32
	id string
}

// A delivery is a message in the inbox of a portal user.
type delivery struct {
	message uuid.UUID
	chunk   int32
	to      person
}

// compare orders deliveries as disclosures are: by message and portal user, the newest first.
func (d delivery) compare(o delivery) int {
	return cmp.Or(bytes.Compare(o.message[:], d.message[:]), cmp.Compare(o.to.no, d.to.no))
}

// people are the portal users whose inboxes have the deliveries that a filter selects.
type people struct {
	all     []person
	patient int32 // the deliveries are those on this patient's account; 0: all
}

// people finds the portal users. The deliveries on a patient's account are to those who have
// or had a link to the patient; nothing is deleted from the directory.
func (f Filter) people(ctx context.Context, q querier) (p people, err error) {
	var rows pgx.Rows
	if f.PatientID == "" {
		rows, err = q.Query(ctx, `SELECT portal_user_no, portal_user_id, 0 FROM app.portal_users WHERE portal_user_id = $1`, f.PortalUserID)
	} else {
		rows, err = q.Query(ctx, `SELECT DISTINCT u.portal_user_no, u.portal_user_id, p.patient_no
			FROM app.patients p JOIN app.links l USING (patient_no) JOIN app.portal_users u USING (portal_user_no)
			WHERE p.patient_id = $1 AND ($2 = '' OR u.portal_user_id = $2)`, f.PatientID, f.PortalUserID)
	}
	if err == nil {
		var one person
		_, err = pgx.ForEachRow(rows, []any{&one.no, &one.id, &p.patient}, func() error {
			p.all = append(p.all, one)
			return nil
		})
	}
	if err != nil {
		return p, fmt.Errorf("looking for the portal users: %w", err)
	}
	return p, nil
}

// candidates reads deliveries to the portal user $3, who is at place $2 of block $1, the newest
// first: those of the message $4 and later ones, before the position ($5, $6). The messages
// are selected by the index of the block alone.
const candidates = `
	SELECT i.message_id, i.chunk, ` + delivered.AccountColumns + `
	FROM (SELECT message_id FROM record.inbox
	      WHERE block = $1 AND record.has_member(members, $2) AND message_id >= $4 AND (message_id, $3::integer) < ($5, $6)
	      ORDER BY message_id DESC LIMIT $7) selected
	JOIN record.inbox i ON i.message_id = selected.message_id AND i.block = $1 AND record.has_member(i.members, $2)
	LEFT JOIN record.messages m ON m.message_id = i.message_id
	ORDER BY i.message_id DESC`

// candidate is a row of the inbox in which a portal user is a member.
type candidate struct {
	message uuid.UUID
	chunk   int32
	account delivered.Account
}

// read reads candidates for one of the people, and leaves out those that were not on the account
// of the patient. It returns the last one read, and how many were read.
func (p people) read(ctx context.Context, q querier, to person, args ...any) (found []delivery, last uuid.UUID, n int, err error) {
	of, place := block.Of(to.no)
	rows, err := q.Query(ctx, candidates, append([]any{int32(of), place, to.no}, args...)...)
	if err != nil {
		return nil, last, 0, err
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c candidate, err error) {
		return c, row.Scan(append([]any{&c.message, &c.chunk}, c.account.Fields()...)...)
	})
	if err != nil {
		return nil, last, 0, err
	}
	var patients [][]int32
	if p.patient != 0 {
		accounts := make([]delivered.Account, len(all))
		for i := range all {
			accounts[i] = all[i].account
		}
		if patients, err = delivered.Patients(ctx, q, to.no, accounts); err != nil {
			return nil, last, 0, err
		}
	}
	for i, c := range all {
		if last = c.message; p.patient == 0 || slices.Contains(patients[i], p.patient) {
			found = append(found, delivery{c.message, c.chunk, to})
		}
	}
	return found, last, len(all), nil
}

// deliveriesTo returns the deliveries to one of the people, the newest first: those of the
// message oldest and of later ones, before a position. It reads them in batches, each twice
// as long as the one before, up to a limit.
func (p people) deliveriesTo(ctx context.Context, q querier, to person, oldest uuid.UUID, before DisclosureCursor) iter.Seq2[delivery, error] {
	const first, most = 100, 1000
	return func(yield func(delivery, error) bool) {
		for n := first; ; n = min(2*n, most) {
			found, last, read, err := p.read(ctx, q, to, oldest, before.MessageID, before.PortalUserNo, n)
			if err != nil {
				yield(delivery{}, err)
				return
			}
			for _, d := range found {
				if !yield(d, nil) {
					return
				}
			}
			if read < n {
				return
			}
			before = DisclosureCursor{last, to.no}
		}
	}
}

// deliveries returns the newest deliveries that the filter's person and message select before
// a position, at most so many.
func (f Filter) deliveries(ctx context.Context, q querier, before DisclosureCursor, limit int) ([]delivery, error) {
	p, err := f.people(ctx, q)
	if err != nil {
		return nil, err
	}
	if f.MessageID != uuid.Nil && bytes.Compare(before.MessageID[:], f.MessageID[:]) > 0 {
		before = DisclosureCursor{f.MessageID, math.MaxInt32}
	}
	var all []delivery
	for _, to := range p.all {
		n := 0
		for d, err := range p.deliveriesTo(ctx, q, to, f.MessageID, before) {
			if err != nil {
				return nil, fmt.Errorf("reading the inbox of portal user number %d: %w", to.no, err)
			}
			all = append(all, d)
			if n++; n == limit {
				break
			}
		}
	}
	slices.SortFunc(all, delivery.compare)
	return all[:min(limit, len(all))], nil
}

// allDeliveries returns all deliveries that the filter's person and message select, and none
// if the filter names no person.
func (f Filter) allDeliveries(ctx context.Context, q querier) ([]delivery, error) {
	if !f.ofPerson() {
		return nil, nil
	}
	return f.deliveries(ctx, q, DisclosureCursor{MessageID: uuid.Max}, math.MaxInt)
}
