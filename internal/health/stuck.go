package health

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/internal/text/language"
)

// A StuckKind is a kind of work that does not go on by itself, or takes too long.
type StuckKind string

// Stuck is work of one kind that does not go on.
type Stuck struct {
	Kind  StuckKind  `json:"kind" doc:"What does not go on: one of a few names, such as parked_events."`
	Count int        `json:"count" doc:"How many of them; 0 where they are not counted."`
	What  string     `json:"what" doc:"What it is, in words."`
	Since *time.Time `json:"since" doc:"Since when the oldest waits; null where it is not known."`
	Do    string     `json:"do" doc:"What to do."`
	Page  string     `json:"page" doc:"The path of the page on which to do it; empty for none."`
}

// stuckKind is a row of the table of kinds.
type stuckKind struct {
	kind      StuckKind
	one, many string        // what they are: "1 parked event", "2 parked events"
	after     time.Duration // how long such work may take
	do, page  string
	// sql returns the number of what waits since before $1, and the time of the oldest. For kinds
	// without it, find reads the state.
	sql  string
	find func(language.Language, State, stuckKind) []Stuck
}

// stuckKinds are all kinds of stuck work: what it is, how long it may take, and what to do. Each
// query reads along an index, or a table with few rows.
var stuckKinds = []stuckKind{
	{kind: "parked_events", one: "{n} parked event", many: "{n} parked events",
		do: "Read why it failed, then retry or discard it.", page: "/operations/parked",
		sql: `SELECT count(*), min(parked_at) FROM app.open_parked_events WHERE parked_at < $1`},
	{kind: "recorder_behind", one: "{n} recorded event that no page shows yet", many: "{n} recorded events that no page shows yet", after: LagLimit,
		do: "Check that a recorder is running, and read its log.", find: recorderBehind},
	{kind: "record_damaged", do: "Run postern repair --check, and restore what it names.", find: recordDamaged},
	{kind: "consumer_backlog", one: "{n} event that waits for", many: "{n} events that wait for", after: 5 * time.Minute,
		do: "Check that the worker is running, and read its last error in the table of consumers.", find: backlogs},
	{kind: "promotion_unsettled", do: "Check that a notify worker is running: alerts wait until it has recorded which of them a failover of Postgres may have lost.", find: unsettled},
	{kind: "expired_leases", one: "{n} chunk of alerts whose worker has ended or hangs", many: "{n} chunks of alerts whose workers have ended or hang", after: time.Minute,
		do:  "Check that a notify worker is running, and read its log.",
		sql: `SELECT count(*), min(leased_until) FROM app.alert_work WHERE state = 'leased' AND leased_until < $1`},
	{kind: "alerts_due", one: "{n} chunk of alerts that is due and not sent", many: "{n} chunks of alerts that are due and not sent", after: 5 * time.Minute,
		do: "Check that a notify worker is running, and what SendGrid answers.",
		sql: `SELECT count(*), min(w.due_at) FROM app.alert_work w WHERE w.state = 'waiting' AND w.due_at < $1
			AND NOT EXISTS (SELECT FROM record.held_messages h WHERE h.message_id = w.message_id)
			AND (w.replay_id IS NULL OR EXISTS (SELECT FROM record.replays r WHERE r.replay_id = w.replay_id AND r.status = 'running'))`},
	{kind: "alerts_held", one: "{n} pause that holds alerts back", many: "{n} pauses that hold alerts back", after: time.Hour,
		do: "Resume alerting as soon as its reason is gone.", page: "/operations",
		sql: `SELECT count(*), min(paused_at) FROM record.pauses WHERE paused_at < $1`},
	{kind: "alerts_unknown", one: "{n} alert whose result is unknown", many: "{n} alerts whose result is unknown", after: 15 * time.Minute,
		do: "Plan a replay of them.", page: "/operations/replays/new?state=unknown",
		sql: `SELECT sum(n)::bigint, min(at) FROM (
			SELECT count(*) AS n, min(x.at) AS at FROM record.alert_exceptions x JOIN record.messages m USING (message_id)
			WHERE x.state = 'unknown' AND x.at < $1 AND x.at > $1 - interval '30 days' AND m.status <> 'recalled'
			  AND NOT EXISTS (SELECT FROM record.opens o WHERE o.message_id = x.message_id AND o.portal_user_no = x.portal_user_no)
			UNION ALL
			SELECT coalesce(sum(c.deliveries - (SELECT count(*) FROM record.alert_exceptions x WHERE x.message_id = c.message_id AND x.chunk = c.chunk)), 0), min(c.alert_at)
			FROM record.chunks c JOIN record.messages m USING (message_id)
			WHERE c.alert_state = 'unknown' AND c.alert_at < $1 AND c.alert_at > $1 - interval '30 days' AND m.status <> 'recalled') u`},
	{kind: "replays_paused", one: "{n} paused replay", many: "{n} paused replays", after: time.Hour,
		do: "Resume it, or cancel it.", page: "/operations/replays",
		sql: `SELECT count(*), min(started_at) FROM record.replays WHERE status = 'paused' AND started_at < $1`},
	{kind: "messages_not_released", one: "{n} message that should have gone out", many: "{n} messages that should have gone out", after: time.Minute,
		do:  "Check that an api process is running, and read its log.",
		sql: `SELECT count(*), min(release_at) FROM record.messages WHERE status = 'scheduled' AND release_at < $1`},
	{kind: "messages_not_delivered", one: "{n} message that is not delivered to all yet", many: "{n} messages that are not delivered to all yet", after: 10 * time.Minute,
		do:  "Check that a fan-out worker is running, and look for parked events.",
		sql: `SELECT count(*), min(coalesce(released_at, sent_at)) FROM record.messages WHERE status = 'sending' AND coalesce(released_at, sent_at) < $1`},
	{kind: "invitations_stalled", one: "{n} run of invitations that does not go on", many: "{n} runs of invitations that do not go on", after: 10 * time.Minute,
		do: "Check the settings of e-mail, and what SendGrid answers.", page: "/directory/invitations",
		sql: `SELECT count(*), min(at) FROM (SELECT coalesce((SELECT max(changed_at) FROM app.invitations i WHERE i.run_id = r.run_id), r.started_at) AS at
			FROM record.invitation_runs r WHERE r.status = 'running') s WHERE at < $1`},
	{kind: "emergencies_unreviewed", one: "{n} use of emergency access that no one has reviewed", many: "{n} uses of emergency access that no one has reviewed", after: 24 * time.Hour,
		do: "A reader of the record reviews it.", page: "/emergency",
		sql: `SELECT count(*), min(opened_at) FROM record.emergencies WHERE state <> 'reviewed' AND opened_at < $1`},
	{kind: "check_failing", do: "Correct what the check names.", find: nil}, // see checksFailing
}

// stuck reads the kinds that have a query.
func (h *Status) stuck(ctx context.Context, s *State) error {
	for _, kind := range stuckKinds {
		if kind.sql == "" {
			continue
		}
		var n *int
		var oldest *time.Time
		if err := h.cfg.Pool.QueryRow(ctx, kind.sql, s.At.Add(-kind.after)).Scan(&n, &oldest); err != nil {
			return fmt.Errorf("looking for stuck work (%s): %w", kind.kind, err)
		}
		if n != nil && *n > 0 {
			s.Stuck = append(s.Stuck, kind.of(language.From(ctx), *n, "", oldest))
		}
	}
	s.Stuck = append(s.Stuck, h.checksFailing(ctx)...)
	return nil
}

// of makes an entry of a kind, in a language.
func (k stuckKind) of(l language.Language, n int, more string, since *time.Time) Stuck {
	what := l.Count(n, k.one, k.many) + more
	return Stuck{Kind: k.kind, Count: n, What: what, Since: since, Do: k.do, Page: k.page}
}

// checksFailing returns the checks of things outside that fail, and warnings.
func (h *Status) checksFailing(ctx context.Context) (all []Stuck) {
	kind := stuckKinds[slices.IndexFunc(stuckKinds, func(k stuckKind) bool { return k.kind == "check_failing" })]
	add := func(f Fault) {
		all = append(all, Stuck{Kind: kind.kind, Count: 1, What: f.String(), Do: kind.do})
	}
	for name, check := range h.cfg.Checks {
		if err := check(ctx); err != nil {
			add(Fault{Part(name), err.Error()})
		}
	}
	for _, f := range h.Warnings() {
		add(f)
	}
	slices.SortFunc(all, func(a, b Stuck) int { return strings.Compare(a.What, b.What) })
	return all
}

// addStuck adds the kinds that follow from other parts of the state, once all are read, and puts
// the entries in the order of the table.
func (s *State) addStuck(l language.Language) {
	for _, kind := range stuckKinds {
		if kind.find != nil {
			s.Stuck = append(s.Stuck, kind.find(l, *s, kind)...)
		}
	}
	place := func(one Stuck) int {
		return slices.IndexFunc(stuckKinds, func(k stuckKind) bool { return k.kind == one.Kind })
	}
	slices.SortStableFunc(s.Stuck, func(a, b Stuck) int { return place(a) - place(b) })
	if s.Stuck == nil {
		s.Stuck = []Stuck{}
	}
}

func recorderBehind(l language.Language, s State, k stuckKind) []Stuck {
	if s.Recorder.Age <= k.after {
		return nil
	}
	since := s.At.Add(-s.Recorder.Age)
	return []Stuck{k.of(l, int(s.Recorder.Events), "", &since)} // #nosec G115 -- a count of existing things
}

func recordDamaged(_ language.Language, s State, k stuckKind) []Stuck {
	if s.Record.Detail == "" {
		return nil
	}
	return []Stuck{{Kind: k.kind, Count: 1, What: s.Record.Detail, Do: k.do}}
}

func backlogs(l language.Language, s State, k stuckKind) (all []Stuck) {
	for _, c := range s.Consumers {
		if age := time.Duration(c.OldestSeconds) * time.Second; age > k.after {
			since := s.At.Add(-age)
			all = append(all, k.of(l, max(int(c.Pending), 1), " "+c.Name, &since)) // #nosec G115 -- a count of existing things
		}
	}
	return all
}

func unsettled(l language.Language, s State, k stuckKind) []Stuck {
	if !s.Unsettled {
		return nil
	}
	return []Stuck{{Kind: k.kind, Count: 1, What: l.Text("a failover of Postgres that is not settled"), Do: k.do}}
}
