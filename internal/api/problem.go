package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"postern/internal/compose"
	"postern/internal/problem"
	"postern/internal/problem/document"
)

// Problem is a problem document of the API.
type Problem struct {
	document.Document
	Preview *Preview `json:"preview,omitempty" doc:"The current audience, if it has changed."`
}

// problemFrom returns the document of a problem.
func problemFrom(p *problem.Error) *Problem { return &Problem{Document: *document.From(p)} }

// problemOf returns the answer to an error.
func (a *API) problemOf(ctx context.Context, err error) *Problem {
	p := &Problem{Document: *a.problems.Of(ctx, err)}
	if changed := (*compose.AudienceChanged)(nil); errors.As(err, &changed) {
		now := previewOf(changed.Now)
		p.Preview = &now
	}
	return p
}

// huma builds its own errors through these two variables; it has no other hook. They make
// our problems, without the values of the request, which may be a password or the text of a
// message.
func init() {
	huma.NewError = newProblem
	huma.NewErrorWithContext = func(_ huma.Context, status int, message string, errs ...error) huma.StatusError {
		return newProblem(status, message, errs...)
	}
}

func newProblem(status int, message string, errs ...error) huma.StatusError {
	for _, err := range errs {
		if p := document.OfBody(err); p != nil {
			return problemFrom(p)
		}
	}
	k := problem.Internal
	for _, known := range []problem.Kind{problem.InvalidRequest, problem.BadRequest, problem.TooLarge, problem.TooSlow, problem.Unsupported, problem.Internal} {
		if known.Status == status {
			k = known
		}
	}
	if k == problem.Internal && message == "cannot read request body" {
		k = problem.BadRequest
	}
	if k == problem.BadRequest && slices.ContainsFunc(errs, func(err error) bool { return strings.Contains(err.Error(), holdsNUL) }) {
		k = problem.InvalidRequest
	}
	p := problemFrom(k.Problem(message))
	if k.Status != status && k == problem.Internal {
		p.Status, p.Title, p.Type = status, http.StatusText(status), "about:blank"
	}
	for _, err := range errs {
		var detail *huma.ErrorDetail
		if !errors.As(err, &detail) {
			continue
		}
		f := problem.Fault{Location: detail.Location, Message: detail.Message}
		// Our decoder puts a more exact location into the message than huma gives.
		if at, what, found := strings.Cut(f.Message, ": "); found && strings.HasPrefix(at, "body") {
			f = problem.Fault{Location: at, Message: what}
		}
		// huma gives the location of the object that lacks the field. We name the field.
		if rest, found := strings.CutPrefix(f.Message, "expected required property "); found {
			name, _, _ := strings.Cut(rest, " ")
			f = problem.Fault{Location: strings.TrimPrefix(f.Location+"."+name, "."), Message: "is missing"}
		}
		p.Errors = append(p.Errors, f)
	}
	// An id with an invalid format is answered like an unknown one: not found.
	if faults := p.Errors; len(faults) > 0 && !slices.ContainsFunc(faults, func(f problem.Fault) bool { return !strings.HasPrefix(f.Location, "path.") }) {
		p = problemFrom(problem.NotFound.Problem(message, faults...))
	}
	if len(p.Errors) > 0 {
		p.Detail = strings.TrimSpace(p.Errors[0].Location + " " + p.Errors[0].Message)
	}
	return p
}

// invalidBody is the problem of a body with faults, whose locations are within the body; nil without.
func invalidBody(found []problem.Fault) error {
	if len(found) == 0 {
		return nil
	}
	faults := make([]problem.Fault, len(found))
	for i, f := range found {
		faults[i] = problem.Fault{Location: "body." + f.Location, Message: f.Message}
	}
	return problem.InvalidRequest.Problem(faults[0].Location+" "+faults[0].Message, faults...)
}
