package project

import "postern/internal/events"

// identityLinked links a staff account. The first link counts until it is ended: if two
// processes link one account at once, the order of the record decides.
func identityLinked(b *batch, p *Prepared, e events.IdentityLinked) error {
	return b.exec(`INSERT INTO identities (staff_id, identity_id, issuer, linked_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT DO NOTHING`, e.StaffID, e.Identity, e.Issuer, p.Event.Time)
}

// identityUnlinked ends the link that the event names, and no later one.
func identityUnlinked(b *batch, _ *Prepared, e events.IdentityUnlinked) error {
	return b.exec(`DELETE FROM identities WHERE staff_id = $1 AND identity_id = $2`, e.StaffID, e.Identity)
}
