package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/notify/pause"
	"postern/internal/notify/replay"
	"postern/internal/problem"
)

// ReplayFilter selects alerts whose last outcome was failed or unknown.
type ReplayFilter struct {
	MessageID     string     `json:"message_id,omitempty" doc:"Only alerts of this message."`
	State         []string   `json:"state,omitempty" enum:"failed,unknown" maxItems:"10" doc:"Only alerts in these states; without it, both."`
	Reason        string     `json:"reason,omitempty" doc:"Only alerts with exactly this reason."`
	Reasons       []string   `json:"reasons,omitempty" maxItems:"100" doc:"Only alerts with one of these reasons, in place of reason."`
	From          *time.Time `json:"from,omitempty" doc:"Only alerts with an outcome at or after this time."`
	To            *time.Time `json:"to,omitempty" doc:"Only alerts with an outcome before this time."`
	Domain        string     `json:"domain,omitempty" doc:"Only alerts to addresses at this domain."`
	PortalUserIDs []string   `json:"portal_user_ids,omitempty" maxItems:"5000" doc:"Only alerts of these portal users. They are in the frozen set, which the digest covers. The record and answers have their number alone, in portal_users."`
	PortalUsers   int        `json:"portal_users,omitempty" readOnly:"true" doc:"The number of portal users that portal_user_ids named."`
}

// Replay is a plan to repeat alerts, and its progress.
type Replay struct {
	ID            uuid.UUID      `json:"id"`
	Status        string         `json:"status" enum:"planned,running,paused,completed,cancelled"`
	Filter        ReplayFilter   `json:"filter"`
	Reason        string         `json:"reason"`
	Count         int            `json:"count" doc:"The number of alerts in the frozen set."`
	Digest        string         `json:"digest" doc:"The digest of the set."`
	ByReason      map[string]int `json:"by_reason" doc:"The number of alerts by the reason of their failure."`
	Opened        int            `json:"opened" doc:"The number of alerts left out because the recipient had opened the message."`
	Undeliverable int            `json:"undeliverable" doc:"The number of alerts left out because they would fail again."`
	Excluded      map[string]int `json:"excluded" doc:"All alerts left out, by reason."`
	Oldest        *time.Time     `json:"oldest" doc:"The time of the oldest outcome in the set."`
	Newest        *time.Time     `json:"newest" doc:"The time of the newest outcome in the set."`
	PlannedAt     time.Time      `json:"planned_at"`
	PlannedBy     string         `json:"planned_by"`
	Rate          int            `json:"rate" doc:"Alerts a minute; 0 means no limit."`
	StartedAt     *time.Time     `json:"started_at"`
	StartedBy     *string        `json:"started_by"`
	EndedAt       *time.Time     `json:"ended_at"`
	EndedBy       *string        `json:"ended_by"`
	Total         int            `json:"total" doc:"The same as count."`
	Done          int            `json:"done"`
	Accepted      int            `json:"accepted"`
	Failed        int            `json:"failed"`
	Skipped       int            `json:"skipped"`
	Unknown       int            `json:"unknown"`
	LeftOut       int            `json:"left_out" doc:"Alerts not repeated because the facts had changed after the plan. Known when the replay is completed."`
	// LeftOutBy and Held are not recorded.
	LeftOutBy map[string]int `json:"left_out_by" doc:"Alerts left out so far, by reason."`
	Held      []pause.Hold   `json:"held_by" nullable:"false" doc:"The pauses of alerting that delay the rest of the replay, and how many alerts each delays."`
}

func replayOf(r replay.Replay) Replay {
	f := ReplayFilter{Reason: r.Filter.Reason, Reasons: r.Filter.Reasons, PortalUsers: r.Filter.PortalUsers, From: r.Filter.From, To: r.Filter.To, Domain: r.Filter.Domain}
	if r.Filter.MessageID != nil {
		f.MessageID = r.Filter.MessageID.String()
	}
	for _, s := range r.Filter.State {
		f.State = append(f.State, string(s))
	}
	return Replay{ID: r.ID, Status: string(r.Status), Filter: f, Reason: r.Reason, Count: r.Count, Digest: r.Digest, ByReason: r.ByReason,
		Opened: r.Opened(), Undeliverable: r.Undeliverable(), Excluded: r.Excluded, Oldest: r.Oldest, Newest: r.Newest,
		PlannedAt: r.PlannedAt, PlannedBy: r.PlannedBy, Rate: r.Rate, StartedAt: r.StartedAt, StartedBy: r.StartedBy,
		EndedAt: r.EndedAt, EndedBy: r.EndedBy, Total: r.Count, Done: r.Done(), Accepted: r.Accepted, Failed: r.Failed,
		Skipped: r.Skipped, Unknown: r.Unknown, LeftOut: r.LeftOut, LeftOutBy: r.LeftOutBy, Held: append([]pause.Hold{}, r.Held...)}
}

// ReplayPath is the path of a replay.
type ReplayPath struct {
	ID uuid.UUID `path:"id"`
}

type planInput struct {
	Body struct {
		Filter ReplayFilter `json:"filter"`
		Reason string       `json:"reason" doc:"The reason for the replay. It is recorded."`
	}
}

type startInput struct {
	ReplayPath
	Body *struct {
		Rate int `json:"rate,omitempty" doc:"Alerts a minute; 0, or without it, no limit."`
	}
}

// ReplayOperations plan and control replays.
type ReplayOperations struct {
	Replays *replay.Replays
}

func (g ReplayOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodPost, path: "/v1/replays", id: "plan-replay", tag: forStaff, status: http.StatusCreated,
		summary: "Plan a replay: freeze a set of failed or unknown alerts. Nothing is sent before the replay is started.",
		actions: []policy.Action{policy.Replay}, problems: []int{http.StatusUnprocessableEntity},
	}, g.planReplay)
	handle(a, operation{
		method: http.MethodGet, path: "/v1/replays", id: "list-replays", tag: forStaff,
		summary: "Replays, newest first.", actions: []policy.Action{policy.Replay},
	}, g.listReplays)
	handle(a, operation{
		method: http.MethodGet, path: "/v1/replays/{id}", id: "get-replay", tag: forStaff,
		summary: "A replay and its progress.", actions: []policy.Action{policy.Replay}, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *ReplayPath) (*body[Replay], error) {
		r, err := g.Replays.Get(ctx, in.ID)
		return answerWith(replayOf(r)), err
	})
	handle(a, operation{
		method: http.MethodPost, path: "/v1/replays/{id}/start", id: "start-replay", tag: forStaff,
		summary: "Start a planned replay. A repeated start is the same replay.", actions: []policy.Action{policy.Replay},
		problems: []int{http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity},
	}, func(ctx context.Context, in *startInput) (*body[Replay], error) {
		rate := 0
		if in.Body != nil {
			rate = in.Body.Rate
		}
		r, err := g.Replays.Start(ctx, subjectOf(ctx).Actor(), in.ID, rate)
		return answerWith(replayOf(r)), err
	})
	for name, one := range map[string]struct {
		summary string
		do      func(context.Context, string, uuid.UUID) (replay.Replay, error)
	}{
		"pause":  {"Pause a replay: nothing more is sent until it is resumed.", g.Replays.Pause},
		"resume": {"Resume a paused replay.", g.Replays.Resume},
		"cancel": {"Cancel a replay, started or not. Alerts that were sent stay sent.", g.Replays.Cancel},
	} {
		handle(a, operation{
			method: http.MethodPost, path: "/v1/replays/{id}/" + name, id: name + "-replay", tag: forStaff,
			summary: one.summary, actions: []policy.Action{policy.Replay}, problems: []int{http.StatusNotFound, http.StatusConflict},
		}, func(ctx context.Context, in *ReplayPath) (*body[Replay], error) {
			r, err := one.do(ctx, subjectOf(ctx).Actor(), in.ID)
			return answerWith(replayOf(r)), err
		})
	}
}

func (g ReplayOperations) planReplay(ctx context.Context, in *planInput) (*body[Replay], error) {
	wanted := in.Body.Filter
	f := replay.Filter{Reason: wanted.Reason, Reasons: wanted.Reasons, PortalUserIDs: wanted.PortalUserIDs, From: wanted.From, To: wanted.To, Domain: wanted.Domain}
	if wanted.MessageID != "" {
		id, err := uuid.Parse(wanted.MessageID)
		if err != nil {
			return nil, problem.Invalid("body.filter.message_id", "is not the id of a message")
		}
		f.MessageID = &id
	}
	for _, s := range wanted.State {
		f.State = append(f.State, events.AlertState(s))
	}
	r, err := g.Replays.Plan(ctx, subjectOf(ctx).Actor(), f, in.Body.Reason)
	return answerWith(replayOf(r)), err
}

func (g ReplayOperations) listReplays(ctx context.Context, in *Page) (*body[List[Replay]], error) {
	before, err := in.fromID()
	if err != nil {
		return nil, err
	}
	found, err := g.Replays.List(ctx, before, in.Limit+1)
	if err != nil {
		return nil, err
	}
	return answerWith(page(found, in.Limit, replayOf, func(r replay.Replay) string { return cursorOfID(r.ID) })), nil
}
