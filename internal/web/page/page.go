package page

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/inbound"
	"postern/internal/labels"
	"postern/internal/problem/document"
	"postern/internal/text/size"
)

// Config is what a [Renderer] works with: what the frame of a page shows.
type Config struct {
	// Sessions find out who makes a request.
	Sessions Sessions
	// Labels are the clinic's words.
	Labels func(context.Context) (labels.Labels, error)
	// Pauses are those of alerting. They are shown on every page to those who can end them.
	Pauses func(context.Context) ([]Pause, error)
	// Words seals words that were searched for.
	Words Words
	// Problems says what an error comes to.
	Problems document.Problems
	// Log is told what is not for readers.
	Log *slog.Logger
}

// Sessions find out who makes a request, as access.Gate does.
type Sessions interface {
	// Staff and Portal are middleware that leaves the subject in the request, for
	// [policy.SubjectFrom].
	Staff(next http.Handler) http.Handler
	Portal(next http.Handler) http.Handler
	// HadSession says whether the request came with a session that has ended.
	HadSession(r *http.Request, realm policy.Realm) bool
	// SessionLeft gives how long the session lasts if nothing more is asked for, and at
	// most.
	SessionLeft(ctx context.Context, realm policy.Realm) (left, most time.Duration)
	// Secure says whether cookies are kept off plain HTTP.
	Secure() bool
}

// Words seals words for one reader, as content.Store does.
type Words interface {
	SealWords(reader, words string) (string, error)
	OpenWords(reader, sealed string) (string, error)
}

// Pause is a pause of alerting, as the frame shows it.
type Pause struct {
	MessageID *uuid.UUID // nil: of all messages
	Reason    string
	Automatic bool
	PausedAt  time.Time
}

// Await gives the recorder a moment to come to a place on the record, so that the next
// page shows what a request did. Where it does not, the request is done all the same.
type Await func(ctx context.Context, seq uint64)

// Renderer renders pages and answers with them. It knows nothing of what they show. It
// is safe for concurrent use.
type Renderer struct{ cfg Config }

// New makes a Renderer.
func New(cfg Config) *Renderer { return &Renderer{cfg} }

// Log is where what is not for readers is said.
func (rd *Renderer) Log() *slog.Logger { return rd.cfg.Log }

// Handler answers a request, or says why it did not: then nothing has been
// written yet, and the error is rendered as a page.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Route is an address, and who may come to it.
type Route struct {
	// Pattern is one of http.ServeMux: "GET /messages/{id}".
	Pattern string
	// Realm is whose session is looked at. With [Anybody], nobody's is.
	Realm policy.Realm
	// Actions are what one must be allowed, at least one of them. Without any,
	// nobody need be signed in: [Frame].Me may be nil.
	Actions []policy.Action
	// Takes is what is read of a body, once it is known that they may come: the zero
	// value is a small form. Forms with files are for a handler to read, part by part.
	Takes  inbound.Body
	Handle Handler
}

// Anybody is the realm of a page that looks at no session.
const Anybody policy.Realm = ""

// May is short for the actions of a route.
func May(actions ...policy.Action) []policy.Action { return actions }

// Mount adds routes to a mux.
func (rd *Renderer) Mount(mux *http.ServeMux, routes ...Route) {
	for _, route := range routes {
		h := rd.serve(route)
		switch route.Realm {
		case policy.RealmStaff:
			h = rd.cfg.Sessions.Staff(h)
		case policy.RealmPortalUser:
			h = rd.cfg.Sessions.Portal(h)
		}
		mux.Handle(route.Pattern, h)
	}
}

func (rd *Renderer) serve(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(withRealm(r.Context(), route.Realm))
		defer rd.recovered(w, r)
		err := allow(r, route)
		if err == nil {
			err = open(r, route)
		}
		if err == nil {
			err = route.Handle(w, r)
		}
		if err != nil {
			rd.fail(w, r, err)
		}
	})
}

// open reads the form that was sent, but for one with files. FormValue would read that
// by itself, and put the files on the disk: after this it does not.
func open(r *http.Request, route Route) error {
	takes := route.Takes
	if len(takes.Types) == 0 {
		takes.Types = []string{inbound.Form}
	}
	if err := inbound.Open(r, takes, len(route.Actions) > 0); err != nil {
		return err
	}
	err, large := r.ParseForm(), (*http.MaxBytesError)(nil)
	switch {
	case err == nil || r.Method != http.MethodPost:
		return nil
	case errors.As(err, &large):
		return Failure(http.StatusRequestEntityTooLarge, "The form is too large",
			fmt.Sprintf("Nothing was saved. You can send at most %s at once: send less.", size.Text(large.Limit)))
	case inbound.IsRefusal(err):
		return err
	}
	return fmt.Errorf("%w: %w", errForm, err)
}

var errForm = Failure(http.StatusBadRequest, "The form can’t be read", "Go back, reload the page and send it again.")

// allow gives the refusal of the first action where all are refused.
func allow(r *http.Request, route Route) error {
	if len(route.Actions) == 0 {
		return nil
	}
	subject, err := policy.SubjectFrom(r.Context())
	if err != nil {
		return err
	}
	var first error
	for _, action := range route.Actions {
		err := policy.Allow(subject, action)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// Subject is who makes a request that a route let through for its actions.
func Subject(r *http.Request) policy.Subject {
	subject, err := policy.SubjectFrom(r.Context())
	if err != nil {
		panic(err) // the route names no actions, and so let anybody through
	}
	return subject
}

// IsFragment says whether a part of a page is asked for, by htmx, and not a page.
func IsFragment(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }
