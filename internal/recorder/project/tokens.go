package project

import "postern/internal/events"

// tokenCreated lets an API token work. A token that is created while the account of its owner is
// disabled, or before it, never works: it would outlive the disabling of the account.
func tokenCreated(b *batch, _ *Prepared, e events.TokenCreated) error {
	switch {
	case e.Scope == events.ScopeOwner && len(e.Permissions) == 0, e.Scope == events.ScopeListed && len(e.Permissions) > 0:
	default:
		return park("a token of the scope %q lists %d permissions", e.Scope, len(e.Permissions))
	}
	permissions := append([]string{}, e.Permissions...) // never NULL
	return b.exec(`INSERT INTO tokens (token_id, staff_id, name, scope, permissions, expires_at)
		SELECT $1::uuid, $2::text, $3::text, $4::text, $5::text[], $6::timestamptz WHERE EXISTS (SELECT FROM staff WHERE staff_id = $2 AND disabled_at IS NULL)
		ON CONFLICT DO NOTHING`, e.Token, e.StaffID, e.Name, e.Scope, permissions, e.ExpiresAt)
}

// tokenRevoked ends an API token. The first revocation counts.
func tokenRevoked(b *batch, p *Prepared, e events.TokenRevoked) error {
	switch e.Why {
	case events.RevokedByOwner, events.RevokedByAdministrator, events.RevokedByOperator, events.RevokedWithAccount:
	default:
		return park("a token was revoked for the reason %q, which this binary does not know", e.Why)
	}
	return b.exec(`UPDATE tokens SET revoked_at = $2, revoked_why = $3 WHERE token_id = $1 AND revoked_at IS NULL`, e.Token, p.Event.Time, e.Why)
}
