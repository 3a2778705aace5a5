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

// grantApproved gives a permission that was requested. It refuses an approval by the person who
// requested it, and by the one who gets it, whichever process published the event. An approval
// gives nothing after the request was settled or has expired.
func grantApproved(b *batch, p *Prepared, e events.PermissionChanged) error {
	if p.Event.Actor == e.RequestedBy {
		return park("the person who requested the permission approved it")
	}
	if p.Event.Actor == "staff:"+e.StaffID {
		return park("the person who gets the permission approved it")
	}
	err := b.execOrLate(`UPDATE grants SET state = 'approved', settled_by = $5, settled_at = $6
		WHERE request_id = $1 AND staff_id = $2 AND permission = $3 AND requested_by = $4 AND state = 'requested' AND expires_at > $6`,
		e.Request, e.StaffID, e.Permission, e.RequestedBy, p.Event.Actor, p.Event.Time)
	if err != nil {
		return err
	}
	return b.exec(givePermission, e.StaffID, e.Permission, p.Event.Time, p.Event.Actor, e.RequestedBy)
}

// givePermission does nothing for a permission that they have.
const givePermission = `INSERT INTO staff_permissions (staff_id, permission, granted_at, granted_by, requested_by) VALUES ($1, $2, $3, $4, nullif($5, ''))
	ON CONFLICT DO NOTHING`

// endGrants ends the requests for a staff member, and those that they made, when their account
// is disabled.
func endGrants(b *batch, p *Prepared, staffID string) error {
	return b.exec(`UPDATE grants SET state = 'account_disabled', settled_by = $2, settled_at = $3
		WHERE state = 'requested' AND (staff_id = $1 OR requested_by = 'staff:' || $1)
		AND EXISTS (SELECT FROM staff WHERE staff_id = $1 AND disabled_at IS NOT NULL)`, staffID, p.Event.Actor, p.Event.Time)
}
