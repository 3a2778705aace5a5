package project

import "postern/internal/events"

// addressConfirmed keeps the newest version of an address that was confirmed. A confirmation of
// an earlier version, which comes after it, changes nothing.
func addressConfirmed(b *batch, p *Prepared, e events.AddressConfirmed) error {
	return b.exec(`INSERT INTO address_confirmations AS known (portal_user_no, address_version, confirmed_by, confirmed_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (portal_user_no) DO UPDATE SET address_version = excluded.address_version, confirmed_by = excluded.confirmed_by, confirmed_at = excluded.confirmed_at
		WHERE excluded.address_version > known.address_version`, e.PortalUserNo, e.AddressVersion, p.Event.Actor, p.Event.Time)
}

// optedOut keeps who wants no alerts. The first of two opt-outs counts.
func optedOut(b *batch, p *Prepared, e events.OptOut) error {
	if !e.Out {
		return b.exec(`DELETE FROM alert_opt_outs WHERE portal_user_no = $1`, e.PortalUserNo)
	}
	switch e.How {
	case events.OptOutInPortal, events.OptOutOneClick:
	default:
		return park("a portal user opted out in the way %q, which this binary does not know", e.How)
	}
	return b.exec(`INSERT INTO alert_opt_outs (portal_user_no, how, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, e.PortalUserNo, string(e.How), p.Event.Time)
}
