package api

import (
	"context"
	"net/http"

	"postern/internal/access/policy"
	"postern/internal/health"
)

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
}

type operationsInput struct {
	Span health.Span `query:"span" enum:"hour,day,week" default:"day" doc:"What series counts: the last hour by five minutes, the last day by the hour, or the last week by the day."`
}
