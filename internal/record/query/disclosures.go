package query

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/proof/merkle"
)

// A Disclosure is one message in the inbox of one portal user, with the authority under
// which it was delivered.
type Disclosure struct {
	MessageID    uuid.UUID
	Seq          uint64 // of the deliveries.created event with the delivery
	PortalUserID string
	DeliveredAt  time.Time
	OpenedAt     *time.Time
	RecalledAt   *time.Time
	// Authority has every link that made them a recipient when the audience was frozen, as
	// recorded then. Links that ended later are included. If the filter names a patient, it
	// has only the links to that patient.
	Authority []events.Link

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

// Disclosures returns up to limit disclosures to the portal user or on the account of the
// patient that the filter names, and whether there are more. Before it returns, it records
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
	people := `SELECT portal_user_no, 0 AS patient_no FROM app.portal_users WHERE portal_user_id = $1`
	who := f.PortalUserID
	if f.PatientID != "" {
		people, who = `SELECT DISTINCT l.portal_user_no, p.patient_no FROM app.links l JOIN app.patients p USING (patient_no) WHERE p.patient_id = $1`, f.PatientID
	}
	// One portal user at a time, so that each inbox is read backwards along its index.
	rows, err := r.cfg.Pool.Query(ctx, `
		SELECT d.message_id, d.portal_user_no, u.portal_user_id, c.seq, c.delivered_at, o.opened_at, m.recalled_at
		FROM (`+people+`) AS who
		CROSS JOIN LATERAL (
		    SELECT * FROM record.deliveries WHERE portal_user_no = who.portal_user_no
		    AND (who.patient_no = 0 OR who.patient_no = ANY(patient_nos)) AND (message_id, portal_user_no) < ($2, $3)
		    ORDER BY message_id DESC LIMIT $4) AS d
		JOIN app.portal_users u ON u.portal_user_no = d.portal_user_no
		JOIN record.chunks c USING (message_id, chunk)
		JOIN record.messages m USING (message_id)
		LEFT JOIN record.opens o ON o.message_id = d.message_id AND o.portal_user_no = d.portal_user_no
		ORDER BY d.message_id DESC, d.portal_user_no DESC LIMIT $4`,
		who, before.MessageID, before.PortalUserNo, limit)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, scanDisclosure)
	if err != nil {
		return nil, err
	}
	return found, r.readAuthority(ctx, f.PatientID, found)
}

func scanDisclosure(row pgx.CollectableRow) (d Disclosure, err error) {
	var seq int64
	err = row.Scan(&d.MessageID, &d.portalUserNo, &d.PortalUserID, &seq, &d.DeliveredAt, &d.OpenedAt, &d.RecalledAt)
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
		_, _, err = events.ScanChunk(s.Data, func(one *events.Recipient) error {
			if d := of[one.PortalUserNo]; d != nil {
				for _, link := range one.Links {
					if patient == "" || link.PatientID == patient {
						d.Authority = append(d.Authority, link)
					}
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
