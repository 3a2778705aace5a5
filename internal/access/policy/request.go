package policy

import (
	"context"
	"errors"
)

type contextKey struct{}

// found is the value that [WithSubject] puts into a context.
type found struct {
	subject Subject
	err     error
	again   func(context.Context) (Subject, error)
}

// WithSubject returns a context with the subject of a request, or the error of its
// authentication. again authenticates the request again.
func WithSubject(ctx context.Context, subject Subject, err error, again func(context.Context) (Subject, error)) context.Context {
	return context.WithValue(ctx, contextKey{}, found{subject, err, again})
}

var errNotAsked = errors.New("policy: the request did not come through the middleware of package access")

// SubjectFrom returns the subject of the request. It fails with [ErrUnauthenticated] if
// the request is not authenticated, or with the error of the middleware. The caller
// renders the error.
func SubjectFrom(ctx context.Context) (Subject, error) {
	f, ok := ctx.Value(contextKey{}).(found)
	if !ok {
		return Subject{}, errNotAsked
	}
	return f.subject, f.err
}

// Reauthenticate authenticates the request again, for a response that takes a long time, and returns
// the subject with the current permissions, for [Allow]. It fails with
// [ErrUnauthenticated] if the session has ended, the token was revoked or the account was
// disabled. It does not extend the session.
func Reauthenticate(ctx context.Context) (Subject, error) {
	f, ok := ctx.Value(contextKey{}).(found)
	if !ok {
		return Subject{}, errNotAsked
	}
	return f.again(ctx)
}
