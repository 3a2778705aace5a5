package query

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/directory/audience/matter"
	"postern/internal/events"
	"postern/internal/inbox/delivered"
	"postern/internal/messages"
	"postern/internal/proof/merkle"
)

// A Disclosure is one message in the inbox of one portal user, with the authority under
// which it was delivered.
type Disclosure struct {
	MessageID    uuid.UUID
	Seq          uint64 // of the deliveries.created event with the delivery
	PortalUserID string
	DeliveredAt  time.Time
	ReadableAt   *time.Time // since when the portal user could read it; nil: not yet. See [messages.ReadableAt]
	OpenedAt     *time.Time
	RecalledAt   *time.Time
	// Authority has every link that made them a recipient when the audience was frozen, as
	// recorded then. Links that ended later are included. If the filter names a patient, it
	// has only the links to that patient.
	Authority []events.Link
	// Matter is whom the message to the portal user concerns. Of a message that does not state it,
	// and of all messages from before that was stated, the basis is [matter.NotStated].
	Matter matter.Matter

	portalUserNo int32
}

// DisclosureCursor is the position at which a page of disclosures ended. Disclosures are in
// order of their message, the newest first. That order never changes.
type DisclosureCursor struct {
	MessageID    uuid.UUID
	PortalUserNo int32
}

// Cursor returns the position of a page that ends with the disclosure.
func (d Disclosure) Cursor() DisclosureCursor { return DisclosureCursor{d.MessageID, d.portalUserNo} }

// Disclosures returns up to limit disclosures to the portal user, or of messages that concern the
// patient, that the filter names, and whether there are more. Before it returns, it records
// that who read them.
func (r *Reader) Disclosures(ctx context.Context, who Actor, f Filter, before DisclosureCursor, limit int) (found []Disclosure, more bool, err error) {
	if found, err = r.disclosures(ctx, f, before, limit+1); err != nil {
		return nil, false, fmt.Errorf("reading disclosures: %w", err)
	}
	if more = len(found) > limit; more {
		found = found[:limit]
	}
	reading := newReading(events.ReadList, f)
	reading.Count = len(found)
	if err := r.recordRead(ctx, who, reading); err != nil {
		return nil, false, err
	}
	return found, more, nil
}

// disclosures finds the deliveries, and reads the authority of each from the event of its
// chunk. The directory has all present and former links; nothing is deleted from it.
func (r *Reader) disclosures(ctx context.Context, f Filter, before DisclosureCursor, limit int) ([]Disclosure, error) {
	if before.MessageID == uuid.Nil {
		before.MessageID = uuid.Max
	}
	deliveries, err := f.deliveries(ctx, r.cfg.Pool, before, limit)
	if err != nil {
		return nil, err
	}
	found, err := r.readDeliveries(ctx, deliveries)
	if err != nil {
		return nil, err
	}
	return found, r.readAuthority(ctx, f.PatientID, found)
}

// readDeliveries reads when deliveries were made and opened, in their order.
func (r *Reader) readDeliveries(ctx context.Context, deliveries []delivery) ([]Disclosure, error) {
	messages, chunks, nos := make([]uuid.UUID, len(deliveries)), make([]int32, len(deliveries)), make([]int32, len(deliveries))
	for i, d := range deliveries {
		messages[i], chunks[i], nos[i] = d.message, d.chunk, d.to.no
	}
	rows, err := r.cfg.Pool.Query(ctx, `
		SELECT message_id, portal_user_no, u.portal_user_id, c.seq, c.delivered_at, o.opened_at, m.recalled_at,
		       coalesce(x.state, c.alert_state), coalesce(x.reason, c.alert_reason), app.signs_in_since(u.portal_user_id)
		FROM unnest($1::uuid[], $2::integer[], $3::integer[]) WITH ORDINALITY AS d (message_id, chunk, portal_user_no, place)
		JOIN app.portal_users u USING (portal_user_no)
		JOIN record.chunks c USING (message_id, chunk)
		JOIN record.messages m USING (message_id)
		LEFT JOIN record.opens o USING (message_id, portal_user_no)
		LEFT JOIN record.alert_exceptions x USING (message_id, portal_user_no)
		ORDER BY d.place`, messages, chunks, nos)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanDisclosure)
}

func scanDisclosure(row pgx.CollectableRow) (d Disclosure, err error) {
	var seq int64
	var state events.AlertState
	var reason string
	var since *time.Time
	err = row.Scan(&d.MessageID, &d.portalUserNo, &d.PortalUserID, &seq, &d.DeliveredAt, &d.OpenedAt, &d.RecalledAt, &state, &reason, &since)
	d.ReadableAt = messages.ReadableAt(d.DeliveredAt, state, reason, since, d.OpenedAt)
	d.Seq = uint64(seq) // #nosec G115 -- a sequence
	return d, err
}

// readAuthority reads each chunk once, for all disclosures in it.
func (r *Reader) readAuthority(ctx context.Context, patient string, found []Disclosure) error {
	wanted := map[uint64]map[int32]*Disclosure{}
	for i := range found {
		d := &found[i]
		if wanted[d.Seq] == nil {
			wanted[d.Seq] = map[int32]*Disclosure{}
		}
		wanted[d.Seq][d.portalUserNo] = d
	}
	for seq, of := range wanted {
		var copied []byte
		if err := r.cfg.Pool.QueryRow(ctx, `SELECT stored FROM record.events WHERE seq = $1`, int64(seq)).Scan(&copied); err != nil { // #nosec G115 -- a sequence
			return fmt.Errorf("event %d: %w", seq, err)
		}
		s, err := merkle.Unpack(seq, copied)
		if err != nil {
			return err
		}
		e, err := events.Parse(s.Header, s.Data)
		if err != nil {
			return err
		}
		wanted := func(no int32) bool { return of[no] != nil }
		err = delivered.EachMatter(ctx, r.cfg.Pool, &e, wanted, func(one *events.Recipient, m matter.Matter) error {
			of[one.PortalUserNo].Matter = m
			for _, link := range one.Links {
				if patient == "" || link.PatientID == patient {
					of[one.PortalUserNo].Authority = append(of[one.PortalUserNo].Authority, link)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("event %d: %w", seq, err)
		}
	}
	return nil
}
