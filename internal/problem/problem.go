// Package problem says what kinds of errors a request can fail with. A package of the
// domain makes its sentinel errors of a kind:
//
//	var ErrNotFound = problem.NotFound.Problem("there is no such message")
//
// An error that carries more, such as when to try again, has a method Problem() *Error.
// [Of] finds either anywhere in a chain of wrapped errors. Package document makes HTTP
// answers of them; this package does no I/O.
package problem

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"postern/internal/limits"
)

// Error is an error of a kind. Its text is for people and may be shown to them.
type Error struct {
	Kind Kind
	// Detail is what is wrong this time, and what to do.
	Detail string
	// Text is what Error returns, where that is not Detail.
	Text string
	// Faults are the parts of the request that are wrong.
	Faults []Fault
	// RetryAfter is when to try again; zero: as is usual for the kind.
	RetryAfter time.Duration

	cause error
}

// Fault is one thing that is wrong, and where.
type Fault struct {
	Location string `json:"location,omitempty" example:"body.subject"`
	Message  string `json:"message" example:"is required and can't be blank"`
}

// Error implements error.
func (e *Error) Error() string { return cmp.Or(e.Text, e.Detail) }

// Unwrap gives the error that [Kind.Wrap] was given.
func (e *Error) Unwrap() error { return e.cause }

// New makes a sentinel error of the kind. Each call makes another error: two are never
// equal.
func (k Kind) New(detail string) error { return k.Problem(detail) }

// Problem is the problem of the kind with a detail and faults.
func (k Kind) Problem(detail string, faults ...Fault) *Error {
	return &Error{Kind: k, Detail: detail, Faults: faults}
}

// Wrap makes a problem of the kind that wraps a cause. The text is the detail alone.
func (k Kind) Wrap(cause error, detail string) *Error {
	return &Error{Kind: k, Detail: detail, cause: cause}
}

// Invalid is the fault of one field: [InvalidRequest] with its location.
func Invalid(location, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return InvalidRequest.Problem(location+" "+message, Fault{location, message})
}

// Field is the fault of one field whose message says all.
func Field(k Kind, location, message string) *Error {
	return k.Problem(message, Fault{location, message})
}

// Reason refuses a reason that is empty or has more than most characters.
func Reason(most limits.Characters) error {
	text := fmt.Sprintf("say why, in 1 to %s", most)
	return &Error{Kind: InvalidRequest, Text: text, Detail: "body.reason: " + text, Faults: []Fault{{"body.reason", text}}}
}

// Of gives the problem that an error is or wraps, nil where it has none. Of several,
// the first in the order of [errors.As] counts; but an error that is [Internal]
// anywhere gives that, since trying again would not help.
func Of(err error) *Error {
	if isInternal(err) {
		return Internal.Wrap(err, "")
	}
	var described interface{ Problem() *Error }
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	if errors.As(err, &described) {
		return described.Problem()
	}
	return nil
}

// isInternal says whether one of the errors that err wraps is of the kind [Internal].
func isInternal(err error) bool {
	switch e := err.(type) { //nolint:errorlint // it goes through the chain itself
	case *Error:
		if e.Kind == Internal {
			return true
		}
		return isInternal(e.cause)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			if isInternal(one) {
				return true
			}
		}
	case interface{ Unwrap() error }:
		return isInternal(e.Unwrap())
	}
	return false
}
