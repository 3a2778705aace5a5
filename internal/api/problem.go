package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/content/attachment"
	"postern/internal/content/clamd"
	"postern/internal/eventlog"
	"postern/internal/eventlog/parked"
	"postern/internal/inbound"
	"postern/internal/inbox"
	"postern/internal/messages"
	"postern/internal/notify/pause"
	"postern/internal/notify/replay"
	"postern/internal/notify/reports"
	"postern/internal/proof/merkle"
	"postern/internal/proof/receipt"
	"postern/internal/record/query"
	"postern/internal/record/retention"
	"postern/internal/store"
)

// Problem is a problem document, RFC 9457. Type is stable; Detail is for people.
type Problem struct {
	Type     string   `json:"type" format:"uri-reference" example:"/problems/invalid-request" doc:"What kind of problem it is. It never changes its meaning."`
	Title    string   `json:"title" example:"The request is not valid"`
	Status   int      `json:"status" example:"422"`
	Detail   string   `json:"detail,omitempty" doc:"What is wrong this time, and what to do."`
	Instance string   `json:"instance,omitempty" format:"uri-reference" doc:"Names this occurrence in the server's log."`
	Errors   []Fault  `json:"errors,omitempty" doc:"Every fault that was found."`
	Preview  *Preview `json:"preview,omitempty" doc:"The audience as it is now, where it has changed."`

	retryAfter int // seconds; 0: no such header
}

// Fault is one thing that is wrong, and where.
type Fault struct {
	Location string `json:"location,omitempty" example:"body.subject"`
	Message  string `json:"message" example:"is required and can't be blank"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// GetStatus implements [huma.StatusError].
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements [huma.ContentTypeFilter].
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders implements [huma.HeadersError].
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	return h
}

// A kind of problem: its type is "/problems/" and the name.
type kind struct {
	status int
	name   string
	title  string
}

var (
	invalidRequest  = kind{http.StatusUnprocessableEntity, "invalid-request", "The request is not valid"}
	badRequest      = kind{http.StatusBadRequest, "bad-request", "The request can't be read"}
	notFound        = kind{http.StatusNotFound, "not-found", "There is no such thing"}
	wrongMethod     = kind{http.StatusMethodNotAllowed, "method-not-allowed", "That can't be done here"}
	forbidden       = kind{http.StatusForbidden, "forbidden", "You may not do that"}
	crossOrigin     = kind{http.StatusForbidden, "cross-origin", "The request comes from another site"}
	tooLarge        = kind{http.StatusRequestEntityTooLarge, "too-large", "The request is too large"}
	tooSlow         = kind{http.StatusRequestTimeout, "request-timeout", "The request came too slowly"}
	tooMany         = kind{http.StatusTooManyRequests, "too-many-requests", "Too many tries"}
	unsupported     = kind{http.StatusUnsupportedMediaType, "unsupported-media-type", "The content type is not understood"}
	audienceChanged = kind{http.StatusConflict, "audience-changed", "The recipients have changed"}
	tooLate         = kind{http.StatusConflict, "too-late", "It is too late for that"}
	notReady        = kind{http.StatusServiceUnavailable, "not-ready", "Not ready"}
	attachmentKind  = kind{http.StatusUnprocessableEntity, "attachment-refused", "The file can't be attached"}
	attachmentSize  = kind{http.StatusRequestEntityTooLarge, "attachment-too-large", "The file is too large"}
	noRecord        = kind{http.StatusServiceUnavailable, "record-unavailable", "Messages can't be recorded right now"}
	unavailable     = kind{http.StatusServiceUnavailable, "unavailable", "The service is not available right now"}
	internal        = kind{http.StatusInternalServerError, "internal", "Something went wrong on our side"}
)

// sentinels says what is made of which error: what is said of it is what the
// sentinel itself says. The first that fits counts.
var sentinels = []struct {
	err  error
	kind kind
}{
	{policy.ErrUnauthenticated, kind{http.StatusUnauthorized, "unauthenticated", "Nobody is signed in"}},
	{access.ErrWrongCredentials, kind{http.StatusUnauthorized, "wrong-credentials", "Signing in failed"}},
	{access.ErrWrongCode, kind{http.StatusUnauthorized, "wrong-code", "Signing in failed"}},
	{policy.ErrFactorDue, kind{http.StatusForbidden, "second-factor-due", "A second factor has to be set up"}},
	{reports.ErrNotSigned, kind{http.StatusUnauthorized, "not-signed", "The post is not signed"}},
	{reports.ErrUnreadable, badRequest},
	{access.ErrLastAdministrator, kind{http.StatusConflict, "last-administrator", "Somebody must be able to manage staff"}},
	{access.ErrDisableSelf, kind{http.StatusConflict, "own-account", "Nobody disables themselves"}},
	{access.ErrDisabled, kind{http.StatusConflict, "staff-disabled", "The staff member is disabled"}},
	{compose.ErrNotDisabled, kind{http.StatusConflict, "staff-not-disabled", "The staff member is not disabled"}},
	{access.ErrNoStaff, notFound},
	{pause.ErrNoMessage, notFound},
	{parked.ErrNotFound, notFound},
	{parked.ErrSettled, kind{http.StatusConflict, "already-settled", "The parked event is settled already"}},
	{parked.ErrOnlyRebuild, kind{http.StatusConflict, "not-retriable", "The parked event can't be retried"}},
	{messages.ErrNotFound, notFound},
	{merkle.ErrUnsigned, notFound},
	{receipt.ErrNotFound, notFound},
	{receipt.ErrNotSigned, notReady},
	{inbox.ErrNotFound, notFound},
	{compose.ErrNotFound, notFound},
	{query.ErrNotFound, notFound},
	{replay.ErrNotFound, notFound},
	{inbox.ErrRecalled, kind{http.StatusGone, "message-recalled", "The message was taken back"}},
	{compose.ErrErased, kind{http.StatusGone, "message-erased", "The message was erased"}},
	{compose.ErrMissing, kind{http.StatusInternalServerError, "content-missing", "The message's content is missing"}},
	{retention.ErrNotFound, notFound},
	{retention.ErrKeysLeft, kind{http.StatusServiceUnavailable, "erasure-unfinished", "The erasure is recorded but not finished"}},
	{retention.ErrOwn, kind{http.StatusForbidden, "own-erasure", "It takes two people"}},
	{retention.ErrTooNew, kind{http.StatusForbidden, "new-administrator", "It takes two people"}},
	{retention.ErrAsked, kind{http.StatusConflict, "erasure-requested", "It was asked for before"}},
	{retention.ErrSettled, kind{http.StatusConflict, "erasure-settled", "It was settled before"}},
	{retention.ErrGoingOut, kind{http.StatusConflict, "message-going-out", "The message is on its way still"}},
	{compose.ErrKeyReused, kind{http.StatusUnprocessableEntity, "idempotency-key-reused", "The Idempotency-Key belongs to another message"}},
	{compose.ErrNotSent, noRecord},
	{compose.ErrUnavailable, noRecord},
	{eventlog.ErrUnavailable, noRecord},
	{clamd.ErrNoAnswer, kind{http.StatusServiceUnavailable, "scanner-unavailable", "The file can't be checked right now"}},
}

func (k kind) problem(detail string, faults ...Fault) *Problem {
	p := &Problem{Type: "/problems/" + k.name, Title: k.title, Status: k.status, Detail: detail, Errors: faults}
	if k.status == http.StatusServiceUnavailable {
		p.retryAfter = 2
	}
	return p
}

// ErrCrossOrigin refuses what a page of another site has a browser send.
var ErrCrossOrigin error = crossOrigin.problem("A page of another site sent this. Open the page here and try again.")

func (a *API) problemOf(ctx context.Context, err error) *Problem {
	return ProblemOf(ctx, a.cfg.Logger, err)
}

// ProblemOf is the one place where an error becomes a problem, for the API and for
// pages alike. What is no fault of the asker's is told to nobody but the log.
func ProblemOf(ctx context.Context, logger *slog.Logger, err error) *Problem {
	if p := (*Problem)(nil); errors.As(err, &p) {
		return p
	}
	if p := typed(err); p != nil {
		return p
	}
	for _, s := range sentinels {
		// An event that fits no schema will fit none at the next try either.
		if errors.Is(err, s.err) && !errors.Is(err, eventlog.ErrInvalid) {
			if s.kind.status >= http.StatusInternalServerError {
				logger.WarnContext(ctx, "a request had to be put off", "error", err)
			}
			return s.kind.problem(s.err.Error())
		}
	}
	if store.Transient(err) && !errors.Is(err, context.Canceled) { // who has gone is answered nothing
		logger.WarnContext(ctx, "a request had to be put off", "error", err)
		return unavailable.problem("Try again in a moment.")
	}
	p := internal.problem("It was logged. Try again; if it happens again, tell your administrator this problem's instance.")
	p.Instance = uuid.New().URN()
	if ctx.Err() == nil {
		logger.ErrorContext(ctx, "a request failed", "instance", p.Instance, "error", err)
	}
	return p
}

// typed renders the errors that carry more than their kind.
func typed(err error) *Problem {
	var (
		codeNeeded access.CodeNeeded
		invalid    *compose.Invalid
		unsound    *replay.Invalid
		late       replay.TooLate
		changed    *compose.AudienceChanged
		denied     policy.Forbidden
		tooSoon    access.TooSoon
		fileType   *attachment.TypeError
		infected   *clamd.InfectedError
	)
	switch {
	case errors.As(err, &invalid):
		faults := make([]Fault, len(invalid.Faults))
		for i, f := range invalid.Faults {
			faults[i] = Fault(f)
		}
		return invalidRequest.problem(invalid.Faults[0].Location+" "+invalid.Faults[0].Message, faults...)
	case errors.As(err, &unsound):
		faults := make([]Fault, len(unsound.Faults))
		for i, f := range unsound.Faults {
			faults[i] = Fault(f)
		}
		return invalidRequest.problem(unsound.Error(), faults...)
	case errors.As(err, &late):
		return tooLate.problem(late.Error())
	case errors.As(err, &changed):
		p := audienceChanged.problem(changed.Error(), Fault{"body.audience_digest", "is of another audience"})
		now := previewOf(changed.Now)
		p.Preview = &now
		return p
	case errors.Is(err, pause.ErrReason), errors.Is(err, parked.ErrReason):
		return invalidRequest.problem("body.reason: "+pause.ErrReason.Error(), Fault{"body.reason", pause.ErrReason.Error()})
	case errors.As(err, &codeNeeded):
		return kind{http.StatusUnauthorized, "second-factor-required", "A code is needed"}.problem(codeNeeded.Error())
	case errors.As(err, &denied):
		return forbidden.problem(denied.Error())
	case errors.Is(err, compose.ErrTooLate):
		return tooLate.problem(err.Error())
	case errors.As(err, &tooSoon):
		p := tooMany.problem(tooSoon.Error())
		p.retryAfter = int(tooSoon.After.Seconds()) + 1
		return p
	case errors.As(err, &fileType):
		return attachmentKind.problem(fileType.Error(), Fault{"body.file", fileType.Error()})
	case errors.As(err, &infected):
		return attachmentKind.problem("the file "+infected.Error(), Fault{"body.file", infected.Error()})
	case errors.Is(err, attachment.ErrEmpty), errors.Is(err, attachment.ErrTooLarge):
		k, what := attachmentKind, attachment.ErrEmpty
		if errors.Is(err, attachment.ErrTooLarge) {
			k, what = attachmentSize, attachment.ErrTooLarge
		}
		return k.problem(what.Error(), Fault{"body.file", what.Error()})
	}
	return ofBody(err)
}

// ofBody is the problem of a body that was not taken, nil for another error.
func ofBody(err error) *Problem {
	if size := (*http.MaxBytesError)(nil); errors.As(err, &size) {
		return tooLarge.problem(fmt.Sprintf("at most %d bytes are taken here: send less at a time", size.Limit))
	}
	for _, s := range []struct {
		err  error
		kind kind
	}{{inbound.ErrMediaType, unsupported}, {inbound.ErrSlow, tooSlow}, {inbound.ErrBusy, unavailable}, {inbound.ErrCut, badRequest}} {
		if errors.Is(err, s.err) {
			detail, _, _ := strings.Cut(err.Error(), " (") // without the error of the connection
			if s.err == inbound.ErrMediaType {
				return s.kind.problem(detail, Fault{"header.Content-Type", "is not what is taken here"}, Fault{"body", "is of another media type"})
			}
			return s.kind.problem(detail)
		}
	}
	return nil
}

// invalid is a fault that a handler finds itself.
func invalid(location, format string, args ...any) *Problem {
	message := fmt.Sprintf(format, args...)
	return invalidRequest.problem(location+" "+message, Fault{location, message})
}

// huma builds its own errors through these two variables, which are all the hook
// that it has: they make problems of ours, without what was sent, which may be a
// password or the text of a message.
func init() {
	huma.NewError = newProblem
	huma.NewErrorWithContext = func(_ huma.Context, status int, message string, errs ...error) huma.StatusError {
		return newProblem(status, message, errs...)
	}
}

func newProblem(status int, message string, errs ...error) huma.StatusError {
	for _, err := range errs {
		if p := ofBody(err); p != nil {
			return p
		}
	}
	k := internal
	for _, known := range []kind{invalidRequest, badRequest, tooLarge, tooSlow, unsupported, internal} {
		if known.status == status {
			k = known
		}
	}
	if k == internal && message == "cannot read request body" {
		k = badRequest
	}
	if k == badRequest && slices.ContainsFunc(errs, func(err error) bool { return strings.Contains(err.Error(), holdsNUL) }) {
		k = invalidRequest
	}
	p := k.problem(message)
	if k.status != status && k == internal {
		p.Status, p.Title, p.Type = status, http.StatusText(status), "about:blank"
	}
	for _, err := range errs {
		var detail *huma.ErrorDetail
		if !errors.As(err, &detail) {
			continue
		}
		f := Fault{detail.Location, detail.Message}
		// Our own decoder knows the place more exactly than huma can pass on.
		if at, what, found := strings.Cut(f.Message, ": "); found && strings.HasPrefix(at, "body") {
			f = Fault{at, what}
		}
		// huma names what holds the field that is missing; the field is what is wrong.
		if rest, found := strings.CutPrefix(f.Message, "expected required property "); found {
			name, _, _ := strings.Cut(rest, " ")
			f = Fault{strings.TrimPrefix(f.Location+"."+name, "."), "is missing"}
		}
		p.Errors = append(p.Errors, f)
	}
	// What can be nobody's id is not found, as any other that is not there.
	if faults := p.Errors; len(faults) > 0 && !slices.ContainsFunc(faults, func(f Fault) bool { return !strings.HasPrefix(f.Location, "path.") }) {
		p = notFound.problem(message, faults...)
	}
	if len(p.Errors) > 0 {
		p.Detail = strings.TrimSpace(p.Errors[0].Location + " " + p.Errors[0].Message)
	}
	return p
}

// write answers with the problem.
func (p *Problem) write(w http.ResponseWriter) {
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the asker is gone where this fails
}

// Unavailable answers 503. It is what [access.Config].Fail wants.
func Unavailable(w http.ResponseWriter, _ *http.Request, _ error) {
	unavailable.problem("Try again in a moment.").write(w)
}
