package policy

import (
	"context"
	"errors"
)

type contextKey struct{}

// found is what [WithSubject] leaves in a context.
type found struct {
	subject Subject
	err     error
	again   func(context.Context) (Subject, error)
}

// WithSubject is a context that says who makes a request, or why that is not known.
// again finds out once more.
func WithSubject(ctx context.Context, subject Subject, err error, again func(context.Context) (Subject, error)) context.Context {
	return context.WithValue(ctx, contextKey{}, found{subject, err, again})
}

var errNotAsked = errors.New("policy: the request did not come through the middleware of package access")

// SubjectFrom returns who makes the request: [ErrUnauthenticated] where no one is signed
// in, or the error that kept the middleware from finding out. The caller renders the
// error.
func SubjectFrom(ctx context.Context) (Subject, error) {
	f, ok := ctx.Value(contextKey{}).(found)
	if !ok {
		return Subject{}, errNotAsked
	}
	return f.subject, f.err
}

// Again gives the subject of the request as if the request came now, for an answer that
// goes on for a while. It fails with [ErrUnauthenticated] where the session has ended since,
// the token was revoked or the account was disabled. The permissions are the current ones,
// for [Allow]. It does not extend the session.
func Again(ctx context.Context) (Subject, error) {
	f, ok := ctx.Value(contextKey{}).(found)
	if !ok {
		return Subject{}, errNotAsked
	}
	return f.again(ctx)
}
