package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/problem"
	"postern/internal/store"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A run of invitations sends many portal users an e-mail with a link to set a first password. The
// record says that it runs; app.invitations has its people and how far they are. Package letter
// sends them. See ADR 70.

var (
	// ErrNoRun says that there is no such run of invitations.
	ErrNoRun = problem.NotFound.New("there are no invitations with this id")
	// ErrRunEnded says that a run of invitations was cancelled or is finished.
	ErrRunEnded = problem.InvitationsEnded.New("these invitations are finished or cancelled already")
	// ErrNoOneToInvite says that a run would have no one.
	ErrNoOneToInvite error = problem.Invalid("body", "none of these portal users can be invited: they have an account already, no e-mail address, or an account that is not active")
)

// MostInvited is the most portal users that a run of invitations may name.
const MostInvited = 1000

// Reasons why a portal user gets no invitation in a run.
const (
	SkipInactive  = "inactive"
	SkipAccount   = "has_account"
	SkipNoAddress = "no_address"
	SkipDead      = "address_dead"
	SkipLately    = "invited_lately"
	SkipCrowded   = "crowded"
	SkipChanged   = "address_unconfirmed"
)

// invitedLately is how long a link that a portal user has not used keeps a run from sending another:
// a run that was cancelled and started again invites no one twice.
const invitedLately = 24 * time.Hour

// whyNotInvited is the SQL for the reason why u gets no invitation in a run, ” if they get one. $1
// is the time before which a link does not count. Crowded is what [Gate.InviteByMail] says.
var whyNotInvited = `CASE
	WHEN NOT u.active THEN '` + SkipInactive + `'
	WHEN EXISTS (SELECT FROM app.portal_accounts a WHERE a.portal_user_no = u.portal_user_no) THEN '` + SkipAccount + `'
	WHEN u.email = '' THEN '` + SkipNoAddress + `'
	WHEN ` + deadAddress + ` THEN '` + SkipDead + `'
	WHEN EXISTS (SELECT FROM app.password_links l WHERE l.realm = 'portal_user' AND l.subject = u.portal_user_id AND l.used_at IS NULL
		AND l.address_version = u.email_version AND l.made_at > $1) THEN '` + SkipLately + `'
	WHEN (SELECT count(*) FROM app.portal_users o JOIN app.portal_accounts USING (portal_user_no)
		WHERE lower(o.email) = lower(u.email) AND o.email <> '' AND o.active) >= ` + strconv.Itoa(mostSharing) + ` THEN '` + SkipCrowded + `'
	ELSE '' END`

// Invitees are the portal users of a run: some by id, or everyone who is active and has no account.
type Invitees struct {
	IDs      []string
	Everyone bool
}

// among is the SQL condition that u is among the invitees, with $2 and $3.
const among = `($2 AND u.active AND u.email <> '' AND NOT EXISTS (SELECT FROM app.portal_accounts a WHERE a.portal_user_no = u.portal_user_no)
	OR NOT $2 AND u.portal_user_id = ANY($3))`

// CountInvitees counts the portal users whom a run would invite now, and those whom it would leave
// out, by reason. It fails with an error of kind [problem.InvalidRequest] that names an unknown id.
func (g *Gate) CountInvitees(ctx context.Context, who Invitees) (invited int, skipped map[string]int, err error) {
	if err := g.CheckInvitees(ctx, who); err != nil {
		return 0, nil, err
	}
	rows, err := g.pool.Query(ctx, `SELECT why, count(*) FROM (SELECT `+whyNotInvited+` AS why FROM app.portal_users u WHERE `+among+`) w GROUP BY why`,
		g.cfg.Facts.Now().Add(-invitedLately), who.Everyone, who.IDs)
	if err != nil {
		return 0, nil, fmt.Errorf("counting who would be invited: %w", err)
	}
	skipped = map[string]int{}
	var why string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&why, &n}, func() error { skipped[why] = n; return nil }); err != nil {
		return 0, nil, fmt.Errorf("counting who would be invited: %w", err)
	}
	invited = skipped[""]
	delete(skipped, "")
	return invited, skipped, nil
}

// CheckInvitees fails with an error of kind [problem.InvalidRequest] if no run can be of them: it
// names an unknown id.
func (g *Gate) CheckInvitees(ctx context.Context, who Invitees) error {
	switch {
	case who.Everyone && len(who.IDs) > 0:
		return problem.Invalid("body", "name portal users, or all without an account, not both")
	case who.Everyone:
		return nil
	case len(who.IDs) == 0 || len(who.IDs) > MostInvited:
		return problem.Invalid("body.portal_user_ids", "name 1 to %d portal users", MostInvited)
	}
	var unknown string
	err := g.pool.QueryRow(ctx, `SELECT id FROM unnest($1::text[]) id WHERE NOT EXISTS (SELECT FROM app.portal_users WHERE portal_user_id = id) LIMIT 1`,
		who.IDs).Scan(&unknown)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case store.Code(err) == store.CharacterNotInRepertoire:
		return problem.Invalid("body.portal_user_ids", "no portal user has one of these ids")
	case err != nil:
		return fmt.Errorf("looking up portal users: %w", err)
	}
	return problem.Invalid("body.portal_user_ids", "no portal user has the id %s", unknown)
}

// StartInvitations starts a run and returns its id. The event names actor. It fails as
// [Gate.CountInvitees] does, or with [ErrNoOneToInvite].
func (g *Gate) StartInvitations(ctx context.Context, actor string, who Invitees) (uuid.UUID, error) {
	invited, _, err := g.CountInvitees(ctx, who)
	if err != nil {
		return uuid.Nil, err
	}
	if invited == 0 {
		return uuid.Nil, ErrNoOneToInvite
	}
	run := uuid.New()
	tag, err := g.pool.Exec(ctx, `INSERT INTO app.invitations (run_id, portal_user_no, changed_at)
		SELECT $1, u.portal_user_no, $4 FROM app.portal_users u WHERE `+among, run, who.Everyone, who.IDs, g.cfg.Facts.Now())
	if err != nil {
		return uuid.Nil, fmt.Errorf("keeping who is invited: %w", err)
	}
	// A crash here leaves people of a run that the record does not have: nothing is sent to them,
	// and Sweep deletes them.
	return run, g.recordFacts(ctx, actor, events.InvitationsStarted{Run: run, People: int(tag.RowsAffected()), Everyone: who.Everyone})
}

// CancelInvitations cancels a run: no e-mail goes out after the one in hand. It fails with
// [ErrNoRun] or [ErrRunEnded].
func (g *Gate) CancelInvitations(ctx context.Context, actor string, run uuid.UUID) error {
	r, err := g.InvitationRun(ctx, run)
	if err != nil {
		return err
	}
	if r.Status != "running" {
		return ErrRunEnded
	}
	return g.recordFacts(ctx, actor, events.InvitationsCancelled{Run: run})
}

// An InvitationRun is a run of invitations and how far it is.
type InvitationRun struct {
	ID        uuid.UUID
	Status    string // "running", "finished", "cancelled"
	People    int
	Everyone  bool
	StartedBy string
	StartedAt time.Time
	EndedAt   *time.Time
	Waiting   int
	Sent      int
	Failed    int
	Unknown   int
	// Skipped counts those who got no invitation, by reason. A run that ended more than 30 days ago
	// has one reason, "".
	Skipped map[string]int
}

// SkippedInAll is the number of people who got no invitation.
func (r InvitationRun) SkippedInAll() (n int) {
	for _, one := range r.Skipped {
		n += one
	}
	return n
}

const selectRun = `SELECT run_id, status, people, everyone, started_by, started_at, ended_at, sent, skipped, failed, unknown FROM record.invitation_runs `

func readRun(row pgx.CollectableRow) (r InvitationRun, err error) {
	skipped := 0
	err = row.Scan(&r.ID, &r.Status, &r.People, &r.Everyone, &r.StartedBy, &r.StartedAt, &r.EndedAt, &r.Sent, &skipped, &r.Failed, &r.Unknown)
	r.Skipped = map[string]int{}
	if skipped > 0 {
		r.Skipped[""] = skipped
	}
	return r, err
}

// InvitationRun returns a run, or [ErrNoRun].
func (g *Gate) InvitationRun(ctx context.Context, run uuid.UUID) (InvitationRun, error) {
	r, err := one(ctx, g.pool, ErrNoRun, readRun, selectRun+`WHERE run_id = $1`, run)
	if err != nil {
		if !errors.Is(err, ErrNoRun) {
			err = fmt.Errorf("reading invitations: %w", err)
		}
		return r, err
	}
	rows, err := g.pool.Query(ctx, `SELECT state, reason, count(*) FROM app.invitations WHERE run_id = $1 GROUP BY state, reason`, run)
	if err != nil {
		return r, fmt.Errorf("counting invitations: %w", err)
	}
	counts, skipped := map[string]int{}, map[string]int{}
	var state, reason string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&state, &reason, &n}, func() error {
		counts[state] += n
		if state == "skipped" {
			skipped[reason] = n
		}
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("counting invitations: %w", err)
	}
	if len(counts) > 0 { // they are not swept yet
		r.Sent, r.Failed, r.Unknown, r.Waiting, r.Skipped = counts["sent"], counts["failed"], counts["unknown"], counts["waiting"]+counts["sending"], skipped
	}
	return r, nil
}

// InvitationRuns returns the newest runs, at most most of them, without the people who wait.
func (g *Gate) InvitationRuns(ctx context.Context, most int) ([]InvitationRun, error) {
	rows, err := g.pool.Query(ctx, selectRun+`ORDER BY seq DESC LIMIT $1`, most)
	if err != nil {
		return nil, fmt.Errorf("listing invitations: %w", err)
	}
	found, err := pgx.CollectRows(rows, readRun)
	if err != nil {
		return nil, fmt.Errorf("listing invitations: %w", err)
	}
	return found, nil
}

// WithInvitations calls do if a run is running, while no other process works on runs. If another
// does, its error wraps [store.ErrLeaseTaken]. Before each e-mail, do must call held.
func (g *Gate) WithInvitations(ctx context.Context, do func(held func(context.Context) error) error) error {
	var any bool
	if err := g.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM record.invitation_runs WHERE status = 'running')`).Scan(&any); err != nil {
		return fmt.Errorf("looking for invitations: %w", err)
	}
	if !any {
		return nil
	}
	return store.TryAlone(ctx, g.pool, store.LeaseInvitations, func(_ *pgxpool.Conn, held func(context.Context) error) error {
		// The people who were being invited when an earlier holder ended may have got the e-mail.
		if _, err := g.pool.Exec(ctx, `UPDATE app.invitations SET state = 'unknown', changed_at = $1 WHERE state = 'sending'`, g.cfg.Facts.Now()); err != nil {
			return fmt.Errorf("settling invitations that were interrupted: %w", err)
		}
		return do(held)
	})
}

// A RunInvitation is a person of a run whose turn it is.
type RunInvitation struct {
	Run          uuid.UUID
	PortalUserID string
	Tries        int
	startedBy    string
	no           int32
}

// NextInvitation takes the next person of the runs, the oldest run first; nil if no one waits. From
// here on a crash leaves the person unknown: no second e-mail goes out.
func (g *Gate) NextInvitation(ctx context.Context) (*RunInvitation, error) {
	rows, err := g.pool.Query(ctx, `
		UPDATE app.invitations i SET state = 'sending', changed_at = $1
		FROM (SELECT w.run_id, w.portal_user_no, r.started_by FROM record.invitation_runs r
		      CROSS JOIN LATERAL (SELECT run_id, portal_user_no FROM app.invitations WHERE run_id = r.run_id AND state = 'waiting' ORDER BY portal_user_no LIMIT 1) w
		      WHERE r.status = 'running' ORDER BY r.seq LIMIT 1) next, app.portal_users u
		WHERE i.run_id = next.run_id AND i.portal_user_no = next.portal_user_no AND u.portal_user_no = i.portal_user_no
		RETURNING i.run_id, u.portal_user_id, i.tries, next.started_by, i.portal_user_no`, g.cfg.Facts.Now())
	if err != nil {
		return nil, fmt.Errorf("taking the next invitation: %w", err)
	}
	n, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (n RunInvitation, err error) {
		return n, row.Scan(&n.Run, &n.PortalUserID, &n.Tries, &n.startedBy, &n.no)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("taking the next invitation: %w", err)
	}
	return &n, nil
}

// LinkInRun makes the link of a person whose turn it is, or says why they get none. The event names
// who started the run.
func (g *Gate) LinkInRun(ctx context.Context, n *RunInvitation) (made Invitation, skip string, err error) {
	since := g.cfg.Facts.Now().Add(-invitedLately)
	if n.Tries > 0 {
		since = g.anyTime() // its own link, whose e-mail was not handed over
	}
	skip, err = one(ctx, g.pool, ErrNoPortalUser, pgx.RowTo[string], `SELECT `+whyNotInvited+` FROM app.portal_users u WHERE u.portal_user_no = $2`, since, n.no)
	if err != nil || skip != "" {
		return Invitation{}, skip, err
	}
	made, err = g.InviteByMail(ctx, n.startedBy, n.PortalUserID)
	for why, as := range map[string]error{SkipInactive: ErrInactive, SkipNoAddress: ErrNoAddress, SkipDead: ErrDeadAddress, SkipCrowded: ErrCrowded, SkipChanged: ErrUnconfirmed} {
		if errors.Is(err, as) { // since the statement above
			return Invitation{}, why, nil
		}
	}
	if err == nil && !made.First {
		return Invitation{}, SkipAccount, nil
	}
	return made, "", err
}

// EndInvitation stores how the turn of a person ended: "sent", "failed" or "skipped" with a reason,
// "unknown", or "waiting" for another try.
func (g *Gate) EndInvitation(ctx context.Context, n *RunInvitation, state, reason string) error {
	_, err := g.pool.Exec(ctx, `UPDATE app.invitations SET state = $3, reason = $4, changed_at = $5, tries = tries + 1
		WHERE run_id = $1 AND portal_user_no = $2 AND state = 'sending'`, n.Run, n.no, state, reason, g.cfg.Facts.Now())
	if err != nil {
		return fmt.Errorf("storing how an invitation ended: %w", err)
	}
	return nil
}

// FinishInvitations records the end of runs whose people all had their turn. Done twice, it is one
// fact.
func (g *Gate) FinishInvitations(ctx context.Context) error {
	rows, err := g.pool.Query(ctx, `SELECT run_id FROM record.invitation_runs r WHERE status = 'running'
		AND NOT EXISTS (SELECT FROM app.invitations i WHERE i.run_id = r.run_id AND i.state IN ('waiting', 'sending'))`)
	if err != nil {
		return fmt.Errorf("looking for finished invitations: %w", err)
	}
	runs, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("looking for finished invitations: %w", err)
	}
	for _, run := range runs {
		r, err := g.InvitationRun(ctx, run)
		if err != nil {
			return err
		}
		if err := g.recordFacts(ctx, g.cfg.Facts.Process(), events.InvitationsFinished{Run: run, Sent: r.Sent, Failed: r.Failed, Unknown: r.Unknown, Skipped: r.Skipped}); err != nil {
			return err
		}
	}
	return nil
}

// StartInvitationsFor is [Gate.StartInvitations] for a staff member with the permission.
func (g *Gate) StartInvitationsFor(ctx context.Context, staff policy.Subject, who Invitees) (uuid.UUID, error) {
	if err := policy.Allow(staff, policy.Invite); err != nil {
		return uuid.Nil, err
	}
	who.IDs = slices.Compact(slices.Sorted(slices.Values(who.IDs)))
	return g.StartInvitations(ctx, staff.Actor(), who)
}
