package replay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/notify/recipients"
	"postern/internal/problem"
)

// Config holds the dependencies of [Replays].
type Config struct {
	// Pool connects as postern_api, as postern_notify or as the login user.
	Pool *pgxpool.Pool
	// Facts records the events of replays, and waits until they can be read.
	Facts facts.Publisher
}

// Replays plans, starts, pauses, cancels and reads replays. It is safe for concurrent use.
type Replays struct{ cfg Config }

// New makes [Replays]. It does no I/O.
func New(cfg Config) *Replays { return &Replays{cfg} }

// Filter chooses alerts whose last outcome was failed or unknown.
type Filter = events.ReplayFilter

// The reasons for which alerts that a filter chooses are left out of a plan.
const (
	Opened   = events.LeftOutOpened
	Repeated = events.LeftOutRepeated
)

// Unnamed is the key of alerts without a reason in ByReason.
const Unnamed = "no reason was given"

// Plan freezes the set of alerts that the filter chooses and records the plan. reason says
// why the alerts are to be repeated. The plan can be read when Plan returns.
func (rs *Replays) Plan(ctx context.Context, actor string, f Filter, reason string) (Replay, error) {
	f, reason, faults := check(f, reason)
	if len(faults) > 0 {
		return Replay{}, &Invalid{faults}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Replay{}, fmt.Errorf("making an id: %w", err)
	}
	if err := rs.known(ctx, f.PortalUserIDs); err != nil {
		return Replay{}, err
	}
	plan := events.ReplayPlanned{ReplayID: id, Filter: f, Reason: reason, ByReason: map[string]int{}, Excluded: map[string]int{}}
	err = pgx.BeginTxFunc(ctx, rs.cfg.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		if err := freeze(ctx, tx, &plan); err != nil {
			return err
		}
		plan.Digest, err = digest(ctx, tx, id)
		return err
	})
	if err != nil {
		return Replay{}, fmt.Errorf("planning a replay: %w", err)
	}
	// A crash here leaves a set without a plan, which is never used.
	if err := rs.publish(ctx, actor, plan); err != nil {
		return Replay{}, err
	}
	return rs.Get(ctx, id)
}

// chosen selects every alert that the filter chooses, with the reason for which it is left
// out, if any. Where the state of the chunk itself matches, its recipients are read by
// their range. An alert that SendGrid reported as failed, and that a replay of an older
// version then recorded as skipped (events.SkippedAccepted), counts as failed.
const chosen = `
	WITH chosen AS (
	    SELECT x.message_id, x.chunk, x.portal_user_no, x.reason, x.attempt, x.at
	    FROM record.alert_exceptions x
	    WHERE x.state = ANY($1) AND ($2::uuid IS NULL OR x.message_id = $2) AND ($3::text[] IS NULL OR x.reason = ANY($3))
	      AND ($4::timestamptz IS NULL OR x.at >= $4) AND ($5::timestamptz IS NULL OR x.at < $5)
	    UNION ALL
	    SELECT c.message_id, c.chunk, no, c.alert_reason, c.alert_attempt, c.alert_at
	    FROM record.chunks c` + recipients.Blocks + `
	    CROSS JOIN LATERAL record.portal_users_of(i.block, i.members) AS no
	    WHERE c.alert_state = ANY($1) AND ($2::uuid IS NULL OR c.message_id = $2) AND ($3::text[] IS NULL OR c.alert_reason = ANY($3))
	      AND ($4::timestamptz IS NULL OR c.alert_at >= $4) AND ($5::timestamptz IS NULL OR c.alert_at < $5)
	      AND NOT EXISTS (SELECT FROM record.alert_exceptions x
	          WHERE x.message_id = c.message_id AND x.portal_user_no = no)
	    UNION ALL
	    SELECT x.message_id, x.chunk, x.portal_user_no, f.reason, x.attempt, f.at
	    FROM record.alert_exceptions x CROSS JOIN LATERAL (
	        SELECT r.reason, r.at FROM record.reports r
	        WHERE r.message_id = x.message_id AND r.chunk = x.chunk AND r.portal_user_no = x.portal_user_no AND r.attempt < x.attempt AND r.failed
	        ORDER BY r.attempt DESC LIMIT 1) f
	    WHERE 'failed' = ANY($1) AND x.state = 'skipped' AND x.attempt > 1 AND x.reason = '` + events.SkippedAccepted + `'
	      AND ($2::uuid IS NULL OR x.message_id = $2) AND ($3::text[] IS NULL OR f.reason = ANY($3))
	      AND ($4::timestamptz IS NULL OR f.at >= $4) AND ($5::timestamptz IS NULL OR f.at < $5)
	), judged AS MATERIALIZED (
	    SELECT chosen.*, coalesce(
	        nullif(app.why_not_repeated(o.portal_user_no IS NOT NULL, 'failed', '', chosen.attempt, chosen.attempt, r.portal_user_no IS NOT NULL), ''),
	        app.why_not_alerted(m.status, u.active, u.email, CASE WHEN x.portal_user_no IS NOT NULL THEN '' END, q.portal_user_no IS NOT NULL)) AS excluded, r.part AS repeated_by
	    FROM chosen
	    JOIN record.messages m USING (message_id)
	    JOIN app.portal_users u USING (portal_user_no)
	    LEFT JOIN record.opens o USING (message_id, portal_user_no)
	    LEFT JOIN app.alert_repeats r ON r.message_id = chosen.message_id AND r.portal_user_no = chosen.portal_user_no
	         AND r.attempt = chosen.attempt + 1
	    LEFT JOIN record.alert_opt_outs q ON q.portal_user_no = u.portal_user_no
	    LEFT JOIN record.dead_addresses x ON x.portal_user_no = u.portal_user_no AND x.address_version = u.email_version
	    WHERE ($6 = '' OR lower(split_part(u.email, '@', -1)) = $6) AND ($7 = 0 OR chosen.attempt = $7)
	      AND ($8::text[] IS NULL OR u.portal_user_id = ANY($8)))`

// freeze writes the set of a plan, and counts it.
func freeze(ctx context.Context, tx pgx.Tx, plan *events.ReplayPlanned) error {
	f := plan.Filter
	if _, err := tx.Exec(ctx, `INSERT INTO app.replay_pace (replay_id) VALUES ($1)`, plan.ReplayID); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, chosen+`, frozen AS (
	    INSERT INTO app.replay_sets (replay_id, nr, message_id, chunk, chunks, attempt, recipients)
	    SELECT $9, row_number() OVER (ORDER BY message_id, chunk, attempt), message_id, chunk,
	           (SELECT count(*) FROM record.chunks c WHERE c.message_id = judged.message_id),
	           attempt, array_agg(portal_user_no ORDER BY portal_user_no)
	    FROM judged WHERE excluded = '' GROUP BY message_id, chunk, attempt)
	SELECT excluded, reason, count(*), min(at), max(at) FROM judged GROUP BY excluded, reason`,
		append(arguments(f), plan.ReplayID)...)
	if err != nil {
		return err
	}
	return tally(rows, plan)
}

// tally adds rows of excluded, reason, count, oldest and newest to a plan.
func tally(rows pgx.Rows, plan *events.ReplayPlanned) error {
	var excluded, reason string
	var n int
	var oldest, newest time.Time
	_, err := pgx.ForEachRow(rows, []any{&excluded, &reason, &n, &oldest, &newest}, func() error {
		if excluded != "" {
			plan.Excluded[excluded] += n
			return nil
		}
		if reason == "" {
			reason = Unnamed
		}
		plan.ByReason[reason] += n
		plan.Count += n
		if plan.Oldest == nil || oldest.Before(*plan.Oldest) {
			at := oldest.UTC()
			plan.Oldest = &at
		}
		if plan.Newest == nil || newest.After(*plan.Newest) {
			at := newest.UTC()
			plan.Newest = &at
		}
		return nil
	})
	return err
}

// known refuses ids of portal users who do not exist.
func (rs *Replays) known(ctx context.Context, ids []string) error {
	var unknown []string
	err := rs.cfg.Pool.QueryRow(ctx, `SELECT array_agg(id ORDER BY id) FROM unnest($1::text[]) AS id
		WHERE NOT EXISTS (SELECT FROM app.portal_users u WHERE u.portal_user_id = id)`, ids).Scan(&unknown)
	if err != nil {
		return fmt.Errorf("looking for portal users: %w", err)
	}
	if len(unknown) > 0 {
		return &Invalid{[]problem.Fault{{Location: "body.filter.portal_user_ids", Message: fmt.Sprintf("names %q, who is no portal user", unknown[0])}}}
	}
	return nil
}

// Preview is what a plan would have now.
type Preview struct {
	Count              int
	ByReason, Excluded map[string]int // as in a [Replay]
	// RepeatedBy are the replays that repeat alerts of the filter already, which leaves these out.
	RepeatedBy []uuid.UUID
}

// maxRepeatedBy is how many replays a preview names.
const maxRepeatedBy = 10

// Preview counts the alerts that a plan of the filter would have. It freezes and records
// nothing.
func (rs *Replays) Preview(ctx context.Context, f Filter) (Preview, error) {
	f, _, faults := check(f, "preview")
	if len(faults) > 0 {
		return Preview{}, &Invalid{faults}
	}
	plan := events.ReplayPlanned{ByReason: map[string]int{}, Excluded: map[string]int{}}
	var by []uuid.UUID
	err := pgx.BeginTxFunc(ctx, rs.cfg.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, chosen+` SELECT excluded, reason, count(*), min(at), max(at) FROM judged GROUP BY excluded, reason`, arguments(f)...)
		if err != nil {
			return err
		}
		if err := tally(rows, &plan); err != nil || plan.Excluded[Repeated] == 0 {
			return err
		}
		rows, err = tx.Query(ctx, chosen+` SELECT DISTINCT w.replay_id FROM judged j JOIN app.alert_work w ON w.message_id = j.message_id AND w.chunk = j.chunk AND w.part = j.repeated_by
			WHERE j.excluded = $9 AND w.replay_id IS NOT NULL ORDER BY w.replay_id DESC LIMIT $10`, append(arguments(f), Repeated, maxRepeatedBy)...)
		if err != nil {
			return err
		}
		by, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		return err
	})
	if err != nil {
		return Preview{}, fmt.Errorf("counting the alerts of a plan: %w", err)
	}
	return Preview{plan.Count, plan.ByReason, plan.Excluded, by}, nil
}

// digest is the SHA-256 over a line for each row of the set, in their order: the
// message, the chunk, the attempt that failed, and the recipients' numbers.
func digest(ctx context.Context, tx pgx.Tx, id uuid.UUID) (string, error) {
	rows, err := tx.Query(ctx, `SELECT message_id, chunk, attempt, recipients FROM app.replay_sets
		WHERE replay_id = $1 ORDER BY nr`, id)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	var message uuid.UUID
	var chunk, attempt int
	var nos []int32
	_, err = pgx.ForEachRow(rows, []any{&message, &chunk, &attempt, &nos}, func() error {
		_, err := fmt.Fprintf(sum, "%s %d %d %s\n", message, chunk, attempt, strings.Trim(fmt.Sprint(nos), "[]"))
		return err
	})
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), err
}

// any reports whether a plan of the filter would have any recipient.
func (rs *Replays) any(ctx context.Context, f Filter) (any bool, err error) {
	err = rs.cfg.Pool.QueryRow(ctx, chosen+` SELECT EXISTS (SELECT FROM judged WHERE excluded = '')`, arguments(f)...).Scan(&any)
	if err != nil {
		return false, fmt.Errorf("looking for alerts to repeat: %w", err)
	}
	return any, nil
}

// arguments are the arguments of chosen.
func arguments(f Filter) []any {
	states := make([]string, len(f.State))
	for i, s := range f.State {
		states[i] = string(s)
	}
	reasons := f.Reasons
	if f.Reason != "" {
		reasons = []string{f.Reason}
	}
	ids := f.PortalUserIDs
	if len(ids) == 0 {
		ids = nil // all
	}
	return []any{states, f.MessageID, reasons, f.From, f.To, f.Domain, f.Attempt, ids}
}
