// Package problem defines the kinds of errors with which a request can fail. A domain
// package makes its sentinel errors from a kind:
//
//	var ErrNotFound = problem.NotFound.New("there is no such message")
//
// An error with more data, such as the time of the next try, has a method Problem() *Error.
// [Of] finds either anywhere in a chain of wrapped errors. Package document turns them into
// HTTP answers. This package does no I/O.
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
	// Detail says what is wrong in this case, and what to do.
	Detail string
	// Text is the result of Error if that is not Detail.
	Text string
	// Faults are the parts of the request that are wrong.
	Faults []Fault
	// RetryAfter is when to try again; zero means the default of the kind.
	RetryAfter time.Duration

	cause error
}

// Fault is one error in a request, with its location.
type Fault struct {
	Location string `json:"location,omitempty" example:"body.subject"`
	Message  string `json:"message" example:"is required and can't be blank"`
}

// Error implements error.
func (e *Error) Error() string { return cmp.Or(e.Text, e.Detail) }

// Unwrap returns the cause that was given to [Kind.Wrap].
func (e *Error) Unwrap() error { return e.cause }

// New makes a sentinel error of the kind. Each call makes a different error.
func (k Kind) New(detail string) error { return k.Problem(detail) }

// Problem makes a problem of the kind with a detail and faults.
func (k Kind) Problem(detail string, faults ...Fault) *Error {
	return &Error{Kind: k, Detail: detail, Faults: faults}
}

// Wrap makes a problem of the kind that wraps a cause. The text is the detail alone.
func (k Kind) Wrap(cause error, detail string) *Error {
	return &Error{Kind: k, Detail: detail, cause: cause}
}

// Says makes a sentinel error of the kind with the text of another, which may have a message in other
// languages.
func (k Kind) Says(text error) error { return k.Wrap(text, text.Error()) }

// Invalid makes an [InvalidRequest] with one fault, at the location of a field.
func Invalid(location, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return InvalidRequest.Problem(location+" "+message, Fault{location, message})
}

// Field makes a problem with one fault. Its message is also the detail.
func Field(k Kind, location, message string) *Error {
	return k.Problem(message, Fault{location, message})
}

// Reason makes the error for a reason that is empty or has more than most characters.
func Reason(most limits.Characters) error {
	text := fmt.Sprintf("say why, in 1 to %s", most)
	return &Error{Kind: InvalidRequest, Text: text, Detail: "body.reason: " + text, Faults: []Fault{{"body.reason", text}}}
}

// Of returns the problem that an error is or wraps, or nil. Of several it returns the first
// in the order of [errors.As]. But if any of them is [Internal], it returns that, because a
// retry would not help.
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

// isInternal reports whether err, or an error that it wraps, is of the kind [Internal].
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
