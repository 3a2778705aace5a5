package api

import (
	"context"
	"net/http"

	"postern/internal/access/policy"
	"postern/internal/labels"
	"postern/internal/labels/labelstore"
)

type labelsInput struct{ Body labels.Labels }

// LabelOperations are Custom Labels.
type LabelOperations struct {
	Labels *labelstore.Store
}

func (g LabelOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/labels", id: "get-labels", tag: forStaff,
		summary: "This clinic's labels: its words for patients, portal users and other people.", actions: []policy.Action{policy.SeeLabels},
	}, func(ctx context.Context, _ *struct{}) (*body[labels.Labels], error) {
		current, err := g.Labels.Chosen(ctx)
		return answerWith(current), err
	})
	handle(a, operation{
		method: http.MethodPut, path: "/v1/labels", id: "change-labels", tag: forStaff,
		summary: "Change labels. The operation returns after the change is recorded.", actions: []policy.Action{policy.ChangeLabels},
		problems: []int{http.StatusUnprocessableEntity},
	}, g.changeLabels)
}

func (g LabelOperations) changeLabels(ctx context.Context, in *labelsInput) (*body[labels.Labels], error) {
	if err := invalidBody(in.Body.Faults()); err != nil {
		return nil, err
	}
	changed, _, err := g.Labels.Change(ctx, subjectOf(ctx).Actor(), labels.To(in.Body))
	if err != nil {
		return nil, err
	}
	return answerWith(changed), nil
}
