package api

import (
	"context"
	"net/http"

	"postern/internal/access/policy"
	"postern/internal/search"
)

type globalSearchInput struct {
	Q string `query:"q" required:"true" maxLength:"200" doc:"Words to look for."`
}

// SearchOperations are Global Search.
type SearchOperations struct {
	Search *search.Searcher
}

// register registers Global Search.
func (g SearchOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/search", id: "global-search", tag: forStaff,
		summary: "Global Search: pages, settings, messages and portal users that I may see.",
		actions: []policy.Action{policy.Search},
	}, func(ctx context.Context, in *globalSearchInput) (*body[List[search.Found]], error) {
		found, err := g.Search.Find(ctx, subjectOf(ctx), in.Q)
		return answerWith(List[search.Found]{Items: found}), err
	})
}
