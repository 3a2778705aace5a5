package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/notify/pause"
)

// AlertingStatus is whether alerting is paused.
type AlertingStatus struct {
	Paused bool          `json:"paused" doc:"Whether the alerts of all messages are paused."`
	Pauses []pause.Pause `json:"pauses" nullable:"false"`
}

type alertingInput struct {
	Body struct {
		MessageID *uuid.UUID `json:"message_id,omitempty" format:"uuid" doc:"The message whose alerts to pause or resume; without it, the alerts of all messages."`
		Reason    reason     `json:"reason" doc:"The reason. It is recorded."`
	}
}

// AlertingOperations pause and resume alerts.
type AlertingOperations struct {
	Pauses *pause.Pauses
	Await  Await
}

func (g AlertingOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/alerting", id: "get-alerting", tag: forStaff,
		summary: "Whether alerts are sent or paused.", actions: []policy.Action{policy.Replay},
	}, func(ctx context.Context, _ *struct{}) (*body[AlertingStatus], error) { return g.alertingStatus(ctx) })
	for _, change := range []struct {
		verb, summary string
		do            func(context.Context, string, *uuid.UUID, string) (uint64, error)
	}{
		{"pause", "Pause alerts. A chunk of up to a thousand that is being sent is finished. All other alerts wait; none is lost.", g.Pauses.Pause},
		{"resume", "Resume alerts. All waiting alerts are due at once.", g.Pauses.Resume},
	} {
		handle(a, operation{
			method: http.MethodPost, path: "/v1/alerting/" + change.verb, id: change.verb + "-alerting", tag: forStaff,
			summary: change.summary, actions: []policy.Action{policy.Replay},
			problems: []int{http.StatusNotFound, http.StatusUnprocessableEntity},
		}, func(ctx context.Context, in *alertingInput) (*body[AlertingStatus], error) {
			seq, err := change.do(ctx, subjectOf(ctx).Actor(), in.Body.MessageID, string(in.Body.Reason))
			if err != nil {
				return nil, err
			}
			g.Await(ctx, seq)
			return g.alertingStatus(ctx)
		})
	}
}

func (g AlertingOperations) alertingStatus(ctx context.Context) (*body[AlertingStatus], error) {
	pauses, err := g.Pauses.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	return answerWith(AlertingStatus{Paused: len(pauses) > 0 && pauses[0].MessageID == nil, Pauses: pauses}), nil
}
