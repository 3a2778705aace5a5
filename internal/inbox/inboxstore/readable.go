package inboxstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/access/policy"
	"postern/internal/directory/block"
	"postern/internal/directory/roster/cited"
	"postern/internal/inbox"
	"postern/internal/inbox/delivered"
)

// The deliveries to a reader: $1 is the reader's block, $2 the place in it, and $3 the number.
// The messages are selected first, by the index of the block alone. What other tables say of them
// is looked up by key: joins of six tables would take Postgres longer to plan than to carry out.
const (
	deliveries = `
	SELECT i.message_id, coalesce((SELECT s.name FROM record.staff s WHERE s.staff_id = m.sender_id), ''),
	       (SELECT c.delivered_at FROM record.chunks c WHERE c.message_id = i.message_id AND c.chunk = i.chunk),
	       (SELECT o.opened_at FROM record.opens o WHERE o.message_id = i.message_id AND o.portal_user_no = $3),
	       EXISTS (SELECT FROM app.unread_marks u WHERE u.portal_user_no = $3 AND u.message_id = i.message_id),
	       jsonb_array_length(m.attachments), m.status = 'recalled', ` + delivered.AccountColumns + `
	FROM (SELECT message_id FROM record.inbox WHERE block = $1 AND record.has_member(members, $2)`
	inDetail = `) selected
	JOIN record.inbox i ON i.message_id = selected.message_id AND i.block = $1 AND record.has_member(i.members, $2)
	JOIN record.messages m ON m.message_id = i.message_id
	ORDER BY i.message_id DESC`

	// page selects at most $5 messages older than $4, and single selects the message $4.
	page   = deliveries + ` AND message_id < $4 ORDER BY message_id DESC LIMIT $5` + inDetail
	single = deliveries + ` AND message_id = $4` + inDetail
)

// A delivery is a message to a reader, who may have no link in force to its patients any more.
type delivery struct {
	inbox.Message
	patients []int32 // on whose account it was delivered: whom it concerns, ascending
	unknown  bool    // on whose account: its roster is missing
}

// read reads the deliveries to a reader that a query selects.
func (i *Inbox) read(ctx context.Context, reader policy.Subject, query string, more ...any) ([]delivery, error) {
	of, place := block.Of(reader.No)
	rows, err := i.cfg.Pool.Query(ctx, query, append([]any{int32(of), place, reader.No}, more...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []delivery
	var accounts []delivered.Account
	for rows.Next() {
		var d delivery
		var a delivered.Account
		if err := rows.Scan(append([]any{&d.ID, &d.From, &d.DeliveredAt, &d.OpenedAt, &d.Marked, &d.Attachments, &d.Recalled}, a.Fields()...)...); err != nil {
			return nil, err
		}
		d.DeliveredAt = d.DeliveredAt.UTC()
		if d.OpenedAt != nil {
			*d.OpenedAt = d.OpenedAt.UTC()
		}
		found, accounts = append(found, d), append(accounts, a)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	patients, err := delivered.Patients(ctx, i.cfg.Pool, reader.No, accounts)
	if errors.Is(err, cited.ErrDamaged) {
		return found, i.readOneByOne(ctx, reader, found, accounts)
	}
	if err != nil {
		return nil, err
	}
	for n := range found {
		found[n].patients = patients[n]
	}
	return found, nil
}

// readOneByOne sets on whose account some deliveries were made, one of which has a roster that is
// missing: only that one can't be read.
func (i *Inbox) readOneByOne(ctx context.Context, reader policy.Subject, found []delivery, accounts []delivered.Account) error {
	for n := range found {
		patients, err := delivered.Patients(ctx, i.cfg.Pool, reader.No, accounts[n:n+1])
		switch {
		case errors.Is(err, cited.ErrDamaged):
			found[n].unknown = true
		case err != nil:
			return err
		default:
			found[n].patients = patients[0]
		}
	}
	return nil
}

// A patient is one to whom a reader has a link in force.
type patient struct {
	own  bool // the reader is the patient
	name string
}

// links has the patients of a reader, by their numbers.
type links map[int32]patient

// links reads the links of a reader that are in force today.
func (i *Inbox) links(ctx context.Context, reader policy.Subject) (links, error) {
	rows, err := i.cfg.Pool.Query(ctx, `
		SELECT p.patient_no, bool_or(l.relationship = 'self'), trim(p.given_name || ' ' || p.family_name)
		FROM app.links l JOIN app.patients p USING (patient_no)
		WHERE l.portal_user_no = $1 AND (l.valid_from IS NULL OR l.valid_from <= $2::date) AND (l.valid_until IS NULL OR l.valid_until >= $2::date)
		GROUP BY p.patient_no`, reader.No, i.cfg.Facts.Now().Format(time.DateOnly))
	if err != nil {
		return nil, fmt.Errorf("reading the links in force: %w", err)
	}
	all := links{}
	var no int32
	var p patient
	if _, err := pgx.ForEachRow(rows, []any{&no, &p.own, &p.name}, func() error { all[no] = p; return nil }); err != nil {
		return nil, fmt.Errorf("reading the links in force: %w", err)
	}
	return all, nil
}

// admit is the rule of access (see package inbox): it reports whether the delivery can be read
// by a reader with these links, and sets the patients whom it is about.
func (l links) admit(d *delivery) bool {
	if d.unknown {
		return false
	}
	d.About.Others = []string{}
	linked := false
	for n, no := range d.patients {
		p, has := l[no]
		switch {
		case !has, n > 0 && no == d.patients[n-1]: // a patient with two relationships is listed twice
			continue
		case p.own:
			d.About.Own = true
		default:
			d.About.Others = append(d.About.Others, p.name)
		}
		linked = true
	}
	return linked || len(d.patients) == 0
}

// concerns reports whether a delivery that was admitted is about a patient of the reader's.
func (l links) concerns(d *delivery, patient int32) bool {
	_, has := l[patient]
	return has && slices.Contains(d.patients, patient)
}

// most is the number of deliveries that one query reads.
const most = 1000

// find returns a message that the reader may open now.
func (i *Inbox) find(ctx context.Context, reader policy.Subject, id uuid.UUID) (inbox.Message, error) {
	links, err := i.links(ctx, reader)
	if err != nil {
		return inbox.Message{}, err
	}
	found, err := i.read(ctx, reader, single, id)
	switch {
	case err != nil:
		return inbox.Message{}, fmt.Errorf("looking for message %s: %w", id, err)
	case len(found) > 0 && found[0].unknown:
		return inbox.Message{}, inbox.ErrUnknownAccount
	case len(found) == 0 || !links.admit(&found[0]):
		return inbox.Message{}, inbox.ErrNotFound
	case found[0].Recalled:
		return inbox.Message{}, inbox.ErrRecalled
	}
	return found[0].Message, nil
}
