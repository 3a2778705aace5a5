package health

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/eventlog"
	"postern/internal/eventlog/parked"
	"postern/internal/events"
	"postern/internal/notify/pause"
)

// Waiting counts chunks, and parts of replays, whose alerts wait for one reason.
type Waiting struct {
	Reason      string     `json:"reason"`
	Chunks      int        `json:"chunks"`
	Alerts      int        `json:"alerts"`
	Due         *time.Time `json:"due" doc:"When the first goes on; null: when the pause ends, or at once."`
	Message     *uuid.UUID `json:"paused_message_id" doc:"Of a pause of one message's alerts: which message."`
	PauseReason string     `json:"pause_reason" doc:"Why they were paused; empty where no pause holds them."`
	PausedAt    *time.Time `json:"paused_at"`
}

// Minute counts SendGrid's answers to requests.
type Minute struct {
	At       time.Time `json:"at"`
	Accepted int       `json:"accepted"`
	Refused  int       `json:"refused" doc:"Because of recipients."`
	Again    int       `json:"again" doc:"It limits the rate, or is away."`
	Unknown  int       `json:"unknown" doc:"No answer ever came."`
}

// Hour counts the alerts that got an outcome in one hour, by outcome.
type Hour struct {
	At       time.Time `json:"at"`
	Accepted int       `json:"accepted"`
	Failed   int       `json:"failed"`
	Skipped  int       `json:"skipped"`
	Unknown  int       `json:"unknown"`
}

func (h *Status) parked(ctx context.Context, s *State) error {
	open, err := parked.CountOpen(ctx, h.cfg.Pool)
	if err != nil {
		return err
	}
	s.ParkedOf = map[string]int{events.Recorder: 0}
	for _, c := range eventlog.ConsumerConfigs() {
		s.ParkedOf[c.Durable] = 0
	}
	maps.Copy(s.ParkedOf, open)
	for _, n := range open {
		s.Parked += n
	}
	return nil
}

func (h *Status) emergencies(ctx context.Context, s *State) error {
	return h.cfg.Pool.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE state = 'open' AND until > $1), count(*) FILTER (WHERE state <> 'reviewed') FROM record.emergencies`,
		h.cfg.Now()).Scan(&s.Emergencies.Opened, &s.Emergencies.Open, &s.Emergencies.Unreviewed)
}

func (h *Status) pauses(ctx context.Context, s *State) (err error) {
	s.Pauses, err = pause.New(pause.Config{Pool: h.cfg.Pool}).Pauses(ctx)
	return err
}

// mostWaiting is how many reasons are listed. Each paused message counts as one reason.
const mostWaiting = 20

// waiting counts the waiting alerts by pause, or by reason where no pause holds them. A
// chunk that a worker tries for the first time does not count.
func (h *Status) waiting(ctx context.Context, s *State) error {
	rows, err := h.cfg.Pool.Query(ctx, `
		SELECT count(*) FILTER (WHERE w.replay_id IS NULL), CASE WHEN w.pause IS NULL THEN w.reason ELSE $1 END AS why, count(*), sum(w.alerts)::bigint,
		       min(w.due_at) FILTER (WHERE w.pause IS NULL), nullif(w.pause, $2), coalesce(p.reason, ''), p.paused_at
		FROM app.alerts_waiting w LEFT JOIN record.pauses p ON p.message_id = w.pause
		WHERE w.pause IS NOT NULL OR w.reason <> ''
		GROUP BY why, w.pause, p.reason, p.paused_at ORDER BY count(*) DESC, why, w.pause`, pause.ReasonPaused, uuid.Nil)
	if err != nil {
		return fmt.Errorf("counting the alerts that wait: %w", err)
	}
	type group struct {
		Retries int
		Waiting
	}
	groups, err := pgx.CollectRows(rows, pgx.RowToStructByPos[group])
	if err != nil {
		return fmt.Errorf("counting the alerts that wait: %w", err)
	}
	s.Waiting = make([]Waiting, 0, min(len(groups), mostWaiting))
	for i, g := range groups {
		s.Retries += g.Retries
		if i < mostWaiting {
			s.Waiting = append(s.Waiting, g.Waiting)
		}
	}
	return nil
}

// Answers are counted for the time of answersOf, alerts for the time of alertsOf.
const (
	answersOf = time.Hour
	alertsOf  = 24 * time.Hour
)

func (h *Status) answers(ctx context.Context, s *State) error {
	rows, err := h.cfg.Pool.Query(ctx, `
		SELECT date_trunc('minute', answered_at, 'UTC') AS minute,
		       count(*) FILTER (WHERE answer = 'accepted'), count(*) FILTER (WHERE answer = 'refused'),
		       count(*) FILTER (WHERE answer = 'again'), count(*) FILTER (WHERE answer = 'unknown')
		FROM app.attempts WHERE answered_at > $1 GROUP BY minute ORDER BY minute DESC`, s.At.Add(-answersOf))
	if err != nil {
		return fmt.Errorf("counting SendGrid's answers: %w", err)
	}
	answers, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Minute])
	if err != nil {
		return fmt.Errorf("counting SendGrid's answers: %w", err)
	}
	for i := range answers {
		answers[i].At = answers[i].At.UTC()
	}
	s.Answers = answers
	return nil
}

// alerts counts alerts of the last day by the hour in which their chunk got its outcome.
// Each chunk counts with its own state, except for recipients whose alert has another
// state: their rows are found by the message and the chunk.
func (h *Status) alerts(ctx context.Context, s *State) error {
	first := s.At.Truncate(time.Hour).Add(time.Hour - alertsOf)
	rows, err := h.cfg.Pool.Query(ctx, `
		WITH ended AS (
			SELECT c.message_id, c.chunk, c.alert_state, c.deliveries, date_trunc('hour', c.alert_at, 'UTC') AS hour
			FROM record.chunks c WHERE c.alert_at >= $1),
		apart AS (
			SELECT e.hour, e.alert_state, x.state, count(*) AS n
			FROM ended e JOIN record.alert_exceptions x USING (message_id, chunk) GROUP BY 1, 2, 3),
		counted AS (
			SELECT hour, alert_state AS state, sum(deliveries) AS n FROM ended GROUP BY 1, 2
			UNION ALL SELECT hour, alert_state, -n FROM apart
			UNION ALL SELECT hour, state, n FROM apart)
		SELECT hour, coalesce(sum(n) FILTER (WHERE state = 'accepted'), 0)::bigint, coalesce(sum(n) FILTER (WHERE state = 'failed'), 0)::bigint,
		       coalesce(sum(n) FILTER (WHERE state = 'skipped'), 0)::bigint, coalesce(sum(n) FILTER (WHERE state = 'unknown'), 0)::bigint
		FROM counted GROUP BY hour`, first)
	if err != nil {
		return fmt.Errorf("counting alerts: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Hour])
	if err != nil {
		return fmt.Errorf("counting alerts: %w", err)
	}
	byHour := map[int64]Hour{}
	for _, hour := range found {
		byHour[hour.At.Unix()] = hour
	}
	for at := first; at.Before(s.At); at = at.Add(time.Hour) {
		hour := byHour[at.Unix()]
		hour.At = at
		s.Alerts = append(s.Alerts, hour)
	}
	return nil
}
