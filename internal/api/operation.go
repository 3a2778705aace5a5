package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"postern/internal/access/policy"
	"postern/internal/inbound"
	"postern/internal/limits"
	"postern/internal/problem/document"
)

// operation is one operation of the API. The client must be allowed one of the actions. An
// operation without actions is open to all clients.
type operation struct {
	method, path string
	id           string
	tag          string
	summary      string
	status       int          // of success; 0: 200, or 204 for an empty answer
	takes        inbound.Body // the zero value: a little JSON
	raw          bool         // the handler reads the body itself, without requestTimeout
	actions      []policy.Action
	problems     []int // in addition to those of every operation
}

const (
	forStaff  = "Staff"
	forPortal = "Portal"
	forAll    = "Process"
)

// requestTimeout is the timeout of an operation, which waits for Postgres and the record.
const requestTimeout = 15 * time.Second

// handle registers an operation. The policy is checked before the body is read, and every
// error of f goes through the table of problems.
func handle[I, O any](a *API, op operation, f func(context.Context, *I) (*O, error)) {
	huma.Register(a.huma, op.describe(a), func(ctx context.Context, in *I) (*O, error) {
		if !op.raw {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, requestTimeout)
			defer cancel()
		}
		out, err := f(ctx, in)
		if err != nil {
			return nil, a.problemOf(ctx, err)
		}
		return out, nil
	})
}

func (op operation) describe(a *API) huma.Operation {
	described := huma.Operation{
		Method: op.method, Path: op.path, OperationID: op.id, Summary: limits.Fill(op.summary), Tags: []string{op.tag},
		DefaultStatus: op.status, MaxBodyBytes: -1, BodyReadTimeout: -1, // package inbound limits both
		Errors:      append([]int{http.StatusBadRequest, http.StatusServiceUnavailable}, op.problems...),
		Middlewares: huma.Middlewares{a.open(op)},
	}
	if len(op.actions) == 0 {
		return described
	}
	described.Description = needs(op.actions)
	described.Errors = append(described.Errors, http.StatusUnauthorized, http.StatusForbidden)
	described.Middlewares = huma.Middlewares{a.authorize(op.actions), a.open(op)}
	switch {
	case op.tag == forPortal:
		described.Security = []map[string][]string{{"portal": {}}}
	case policy.NeedsSession(op.actions...):
		described.Security = []map[string][]string{{"staff": {}}}
	default:
		described.Security = []map[string][]string{{"token": {}}, {"staff": {}}}
	}
	return described
}

// needs returns the sentence of an operation's description about its permissions.
func needs(actions []policy.Action) string {
	var names []string
	for _, p := range policy.Needs(actions...) {
		names = append(names, string(p)+" ("+p.Name()+")")
	}
	if len(names) == 0 {
		return ""
	}
	return "Needs the permission " + strings.Join(names, " or ") + "."
}

// authorize refuses clients who may do none of the actions.
func (a *API) authorize(actions []policy.Action) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		subject, err := policy.SubjectFrom(ctx.Context())
		if err == nil {
			err = allowAny(subject, actions)
		}
		if err == nil {
			next(ctx)
			return
		}
		_, w := humago.Unwrap(ctx)
		document.Write(w, a.problemOf(ctx.Context(), err))
	}
}

// open applies the operation's limits to the body, after authentication.
func (a *API) open(op operation) func(huma.Context, func(huma.Context)) {
	takes := op.takes
	if len(takes.Types) == 0 && !op.raw {
		takes.Types = []string{inbound.JSON}
	}
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		if err := inbound.Open(r, takes, len(op.actions) > 0); err != nil {
			document.Write(w, a.problemOf(ctx.Context(), err))
			return
		}
		next(ctx)
	}
}

// allowAny returns nil if one of the actions is allowed, or else the error of the first.
func allowAny(subject policy.Subject, actions []policy.Action) error {
	first := policy.Allow(subject, actions[0])
	if first == nil || len(actions) > 1 && allowAny(subject, actions[1:]) == nil {
		return nil
	}
	return first
}

// subjectOf is the subject of a request that authorize has allowed.
func subjectOf(ctx context.Context) policy.Subject {
	subject, err := policy.SubjectFrom(ctx)
	if err != nil {
		panic(err) // authorize did not let it through
	}
	return subject
}
