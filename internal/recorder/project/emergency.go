package project

import (
	"fmt"
	"strings"

	"postern/internal/events"
)

// emergencyOpened lets a staff member read. An opening of an account that is disabled, or has no
// permission at this point of the record, opens nothing.
func emergencyOpened(b *batch, p *Prepared, e events.EmergencyOpened) error {
	staff, ok := strings.CutPrefix(p.Event.Actor, "staff:")
	if !ok {
		return park("emergency access is opened by %s, who is no staff member", p.Event.Actor)
	}
	if (e.MessageID == nil) == (e.PatientID == "") {
		return park("emergency access is to one message or to one patient")
	}
	return b.execOrLate(`INSERT INTO emergencies (opening_id, seq, state, staff_id, message_id, patient_id, reason, opened_at, until)
		SELECT $1::uuid, $2::bigint, 'open', $3::text, $4::uuid, nullif($5::text, ''), $6::text, $7::timestamptz, $8::timestamptz
		WHERE EXISTS (SELECT FROM staff s JOIN staff_permissions p USING (staff_id)
			WHERE s.staff_id = $3 AND s.disabled_at IS NULL AND p.permission = 'emergency_access')`,
		e.Opening, p.Stored.Seq, staff, e.MessageID, e.PatientID, e.Reason, p.Event.Time, e.Until)
}

// emergencyRead records what is about to be shown. It refuses a reading by another person than the
// one who opened the access, and of an opening that has ended.
func emergencyRead(b *batch, p *Prepared, e events.EmergencyRead) error {
	return b.execOrLate(`INSERT INTO emergency_reads (seq, opening_id, what, attachment_id, read_at)
		SELECT $1::bigint, opening_id, $2::text, $3::uuid, $4::timestamptz FROM emergencies
		WHERE opening_id = $5 AND 'staff:' || staff_id = $6 AND state = 'open' AND until > $4`,
		p.Stored.Seq, e.What, e.AttachmentID, p.Event.Time, e.Opening, p.Event.Actor)
}

func emergencyEnded(b *batch, p *Prepared, e events.EmergencyEnded) error {
	return b.execOrLate(`UPDATE emergencies SET state = 'ended', ended_by = $2, ended_at = $3 WHERE opening_id = $1 AND state = 'open' AND until > $3`,
		e.Opening, p.Event.Actor, p.Event.Time)
}

// emergencyReviewed settles an opening that has ended. It refuses the person who opened it,
// whichever process published the event.
func emergencyReviewed(b *batch, p *Prepared, e events.EmergencyReviewed) error {
	if e.ReviewedBy != p.Event.Actor {
		return park("its reviewer is not its actor")
	}
	var own bool
	err := b.tx.QueryRow(b.ctx, `SELECT EXISTS (SELECT FROM emergencies WHERE opening_id = $1 AND 'staff:' || staff_id = $2)`,
		e.Opening, p.Event.Actor).Scan(&own)
	if err != nil {
		return fmt.Errorf("looking for the opening: %w", err)
	}
	if own {
		return park("the person who opened emergency access reviewed it")
	}
	return b.execOrLate(`UPDATE emergencies SET state = 'reviewed', reviewed_by = $2, reviewed_at = $3, note = $4
		WHERE opening_id = $1 AND (state = 'ended' OR state = 'open' AND until <= $3)`,
		e.Opening, p.Event.Actor, p.Event.Time, e.Note)
}
