package project

import "postern/internal/events"

func invitationsStarted(b *batch, p *Prepared, e events.InvitationsStarted) error {
	if e.People < 1 {
		return park("a run of invitations of %d people", e.People)
	}
	return b.exec(`INSERT INTO invitation_runs (run_id, seq, people, everyone, status, started_by, started_at)
		VALUES ($1, $2, $3, $4, 'running', $5, $6) ON CONFLICT DO NOTHING`, e.Run, p.Stored.Seq, e.People, e.Everyone, p.Event.Actor, p.Event.Time)
}

func invitationsCancelled(b *batch, p *Prepared, e events.InvitationsCancelled) error {
	return b.execOrLate(`UPDATE invitation_runs SET status = 'cancelled', ended_by = $2, ended_at = $3 WHERE run_id = $1 AND status = 'running'`,
		e.Run, p.Event.Actor, p.Event.Time)
}

func invitationsFinished(b *batch, p *Prepared, e events.InvitationsFinished) error {
	return b.execOrLate(`UPDATE invitation_runs SET status = 'finished', ended_by = $2, ended_at = $3, sent = $4, skipped = $5, failed = $6, unknown = $7
		WHERE run_id = $1 AND status = 'running'`, e.Run, p.Event.Actor, p.Event.Time, e.Sent, e.SkippedInAll(), e.Failed, e.Unknown)
}
