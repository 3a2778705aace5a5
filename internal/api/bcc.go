package api

import (
	"context"
	"net/http"

	"postern/internal/access/policy"
	"postern/internal/messages"
)

type bccInput struct {
	Page
	MessageFilter
}

// bcc registers the list of messages on which the client is a Staff Bcc.
func (g MessageOperations) bcc(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/bcc", id: "list-bcc", tag: forStaff,
		summary: "Messages on which I am a Staff Bcc, newest first.", actions: []policy.Action{policy.SeeBcc},
	}, func(ctx context.Context, in *bccInput) (*body[List[Message]], error) {
		query, err := in.query(messages.Named)
		if err != nil {
			return nil, err
		}
		return g.listOf(ctx, query, in.Q, in.Page)
	})
}
