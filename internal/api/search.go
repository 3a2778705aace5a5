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

// search registers Global Search.
func (a *API) search() {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/search", id: "global-search", tag: forStaff,
		summary: "Global Search: pages, settings, messages and portal users that I may see.",
		actions: []policy.Action{policy.Search},
	}, func(ctx context.Context, in *globalSearchInput) (*body[List[search.Found]], error) {
		found, err := a.Search.Find(ctx, subjectOf(ctx), in.Q)
		return answerWith(List[search.Found]{Items: found}), err
	})
}
