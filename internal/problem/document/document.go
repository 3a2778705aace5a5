// Package document answers HTTP requests with problem documents (RFC 9457), made from the
// errors of package problem. It is the only place where an error gets a status, for both
// the API and the pages.
package document

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"postern/internal/inbound"
	"postern/internal/problem"
)

// Document is a problem document. Type is stable; Detail is for people. A handler may
// return a Document as an error: it is then the answer, unchanged.
type Document struct {
	Type     string          `json:"type" format:"uri-reference" example:"/problems/invalid-request" doc:"The kind of problem. The meaning of a type never changes."`
	Title    string          `json:"title" example:"The request is not valid"`
	Status   int             `json:"status" example:"422"`
	Detail   string          `json:"detail,omitempty" doc:"What is wrong in this case, and what to do."`
	Instance string          `json:"instance,omitempty" format:"uri-reference" doc:"The id of this occurrence in the server's log."`
	Errors   []problem.Fault `json:"errors,omitempty" doc:"Every error that was found in the request."`

	retryAfter int // seconds; 0: no such header
}

// Error implements error.
func (d *Document) Error() string { return d.Title + ": " + d.Detail }

// GetStatus is the status of the answer.
func (d *Document) GetStatus() int { return d.Status }

// ContentType is the media type of the answer, whatever the client prefers.
func (d *Document) ContentType(string) string { return "application/problem+json" }

// GetHeaders returns the headers of the answer that tell the client what to do next.
func (d *Document) GetHeaders() http.Header {
	h := http.Header{}
	if d.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(d.retryAfter))
	}
	if d.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	return h
}

// From returns the document of a problem.
func From(p *problem.Error) *Document {
	d := &Document{Type: p.Kind.Type(), Title: p.Kind.Title, Status: p.Kind.Status, Detail: p.Detail, Errors: p.Faults}
	switch {
	case p.RetryAfter > 0:
		d.retryAfter = int(p.RetryAfter.Seconds()) + 1
	case p.Kind.Status == http.StatusTooManyRequests:
		d.retryAfter = 1
	case p.Kind.Status == http.StatusServiceUnavailable:
		d.retryAfter = 2
	}
	return d
}

// Write answers with a document. v is the [Document] or a type that embeds it.
func Write(w http.ResponseWriter, v interface {
	GetStatus() int
	GetHeaders() http.Header
	ContentType(string) string
}) {
	for name, values := range v.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", v.ContentType(""))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(v.GetStatus())
	_ = json.NewEncoder(w).Encode(v) // if this fails, the client is gone
}

// ErrCrossOrigin refuses a request that a page of another site makes a browser send.
var ErrCrossOrigin = problem.CrossOrigin.Problem("A page of another site sent this request. Open the page here and try again.")

// Unavailable answers 503 for a request whose session could not be read.
func Unavailable(w http.ResponseWriter, _ *http.Request, _ error) {
	Write(w, From(problem.Unavailable.Problem(again)))
}

const again = "Try again in a moment."

// Problems turns errors into documents. It is safe for concurrent use.
type Problems struct {
	Logger *slog.Logger
	// Transient reports whether an error is temporary, such as that of a database that is
	// being restarted. It is answered with 503. A canceled request gets no answer.
	Transient func(error) bool
	// Forbidden is told of each error of the kind [problem.Forbidden] of a request of ctx; nil: no
	// one is told.
	Forbidden func(ctx context.Context, err error)
}

// Of returns the document of an error. The text of an error that the client did not cause
// goes to the log only. A [Document] is not logged again.
func (p Problems) Of(ctx context.Context, err error) *Document {
	if d := (*Document)(nil); errors.As(err, &d) {
		return d
	}
	found := cmp.Or(problem.Of(err), OfBody(err))
	if found == nil && p.Transient(err) && !errors.Is(err, context.Canceled) {
		found = problem.Unavailable.Problem(again)
	}
	if found == nil || found.Kind == problem.Internal {
		d := Instance("It was logged. Try again; if it happens again, tell your administrator this problem's instance.")
		if ctx.Err() == nil {
			p.Logger.ErrorContext(ctx, "a request failed", "instance", d.Instance, "error", err)
		}
		return d
	}
	if found.Kind == problem.Forbidden && p.Forbidden != nil {
		p.Forbidden(ctx, err)
	}
	if found.Kind.Status >= http.StatusInternalServerError && OfBody(err) == nil {
		p.Logger.WarnContext(ctx, "a request failed for now", "error", err)
	}
	return From(found)
}

// Instance is the document of an internal error, with an id for the log.
func Instance(detail string) *Document {
	d := From(problem.Internal.Problem(detail))
	d.Instance = uuid.New().URN()
	return d
}

// OfBody returns the problem of a refused body, or nil for another error.
func OfBody(err error) *problem.Error {
	if size := (*http.MaxBytesError)(nil); errors.As(err, &size) {
		return problem.TooLarge.Problem(fmt.Sprintf("the request may have at most %d bytes: send less at a time", size.Limit))
	}
	for _, s := range []struct {
		err  error
		kind problem.Kind
	}{{inbound.ErrMediaType, problem.Unsupported}, {inbound.ErrSlow, problem.TooSlow}, {inbound.ErrBusy, problem.Unavailable}, {inbound.ErrCut, problem.BadRequest}} {
		if errors.Is(err, s.err) {
			detail, _, _ := strings.Cut(err.Error(), " (") // without the error of the connection
			if s.err == inbound.ErrMediaType {
				return s.kind.Problem(detail, problem.Fault{Location: "header.Content-Type", Message: "is not accepted here"},
					problem.Fault{Location: "body", Message: "is of another media type"})
			}
			return s.kind.Problem(detail)
		}
	}
	return nil
}
