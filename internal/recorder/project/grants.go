package project

import "postern/internal/events"

// grantRequested lets a permission be approved. It comes too late while another request for the
// same permission waits.
func grantRequested(b *batch, p *Prepared, e events.GrantRequested) error {
	switch e.Because {
	case events.BecauseAsked, events.BecauseNewStaff, events.BecauseAddressChanged, events.BecauseFactorReset:
	default:
		return park("a permission was requested for the reason %q, which this binary does not know", e.Because)
	}
	return b.execOrLate(`INSERT INTO grants (request_id, seq, staff_id, permission, because, state, requested_by, requested_at, expires_at)
		SELECT $1::uuid, $2::bigint, $3::text, $4::text, $5::text, 'requested', $6::text, $7::timestamptz, $8::timestamptz
		WHERE NOT EXISTS (SELECT FROM grants WHERE staff_id = $3 AND permission = $4 AND state = 'requested' AND expires_at > $7)`,
		e.Request, p.Stored.Seq, e.StaffID, e.Permission, e.Because, p.Event.Actor, p.Event.Time, e.ExpiresAt)
}

func grantWithdrawn(b *batch, p *Prepared, e events.GrantWithdrawn) error {
	return b.execOrLate(`UPDATE grants SET state = 'withdrawn', settled_by = $4, settled_at = $5
		WHERE request_id = $1 AND staff_id = $2 AND permission = $3 AND state = 'requested'`,
		e.Request, e.StaffID, e.Permission, p.Event.Actor, p.Event.Time)
}

// mayApprove refuses an approval by the person who requested the permission, and by the one who
// gets it, whichever process published the event.
func mayApprove(p *Prepared, e events.PermissionChanged) error {
	if p.Event.Actor == e.RequestedBy {
		return park("the person who requested the permission approved it")
	}
	if p.Event.Actor == "staff:"+e.StaffID {
		return park("the person who gets the permission approved it")
	}
	return nil
}
