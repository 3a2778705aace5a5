package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/health"
)

// Share is the part that a message has in the alerts of a period.
type Share struct {
	MessageID uuid.UUID `json:"message_id" format:"uuid"`
	SentAt    time.Time `json:"sent_at" doc:"When the message was sent."`
	Delivered int       `json:"delivered" example:"1200" doc:"The number of deliveries in the period."`
	Opened    int       `json:"opened" example:"310" doc:"The number of openings in the period."`
	Requests  int       `json:"requests" example:"2" doc:"The number of requests that SendGrid answered in the period."`
	Chunks    int       `json:"chunks" example:"2" doc:"The number of chunks that got an outcome in the period."`
	Alerts    int       `json:"alerts" doc:"The number of alerts in these chunks."`
	Failed    int       `json:"failed" doc:"The number of failed alerts of the message in total."`
	Unknown   int       `json:"unknown" doc:"The number of unknown alerts of the message in total."`
}

type periodInput struct {
	From time.Time `query:"from" required:"true" doc:"The beginning of the period."`
	To   time.Time `query:"to" required:"true" doc:"The end of the period."`
}

// StateOperations report the state of the system.
type StateOperations struct {
	Health *health.Status
}

func (g StateOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/operations", id: "get-operations", tag: forStaff,
		summary: "The state of the system: consumers, the recorder, SendGrid's answers, alerts.",
		actions: []policy.Action{policy.Replay},
	}, func(ctx context.Context, in *operationsInput) (*body[health.State], error) {
		state, err := g.Health.State(ctx)
		if err != nil {
			return nil, err // not zero, for a part that can't be read
		}
		state.Series, err = g.Health.Series(ctx, in.Span)
		return answerWith(state), err
	})
	handle(a, operation{
		method: http.MethodGet, path: "/v1/operations/messages", id: "list-alerting-messages", tag: forStaff,
		summary: "Messages with deliveries, openings, requests or outcomes of alerts in a period, the busiest first, at most a hundred.",
		actions: []policy.Action{policy.Replay},
	}, func(ctx context.Context, in *periodInput) (*body[List[Share]], error) {
		found, err := g.Health.Messages(ctx, in.From, in.To)
		if err != nil {
			return nil, err
		}
		l := List[Share]{Items: make([]Share, len(found))}
		for i, s := range found {
			l.Items[i] = Share(s)
		}
		return answerWith(l), nil
	})
}

type operationsInput struct {
	Span health.Span `query:"span" enum:"hour,day,week" default:"day" doc:"What series counts: the last hour by five minutes, the last day by the hour, or the last week by the day."`
}
