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
	}, func(ctx context.Context, _ *struct{}) (*body[health.State], error) {
		state, err := g.Health.State(ctx)
		return answerWith(state), err // an error, not zero, for a part that can't be read
	})
}
