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
	"postern/internal/clinic"
	"postern/internal/inbound"
	"postern/internal/labels"
	"postern/internal/problem/document"
	"postern/internal/text/language"
)

// Config holds the dependencies of a [Renderer].
type Config struct {
	// Sessions identify the sender of a request.
	Sessions Sessions
	// Labels reads the clinic's labels.
	Labels func(context.Context) (labels.Labels, error)
	// Clinic reads what the portal shows of the clinic.
	Clinic func(context.Context) (clinic.Face, error)
	// Pauses reads the pauses of alerting, which every page shows to readers who can end them.
	Pauses func(context.Context) ([]Pause, error)
	// Unread counts the notices that a staff member who may see messages has not read. Every page
	// shows the count; from [MostUnread] on only that there are more.
	Unread func(context.Context, policy.Subject) (int, error)
	// Words seals search words.
	Words Words
	// Problems makes problem documents of errors.
	Problems document.Problems
	// Log gets errors that readers must not see.
	Log *slog.Logger
	// Language is the language of all pages, whatever their readers chose; "" for theirs. It is for
	// tests.
	Language language.Language
}

// Sessions identify the sender of a request, as access.Gate does.
type Sessions interface {
	// Staff and Portal are middleware that puts the subject into the request's context, for
	// [policy.SubjectFrom].
	Staff(next http.Handler) http.Handler
	Portal(next http.Handler) http.Handler
	// HadSession reports whether the request has a session that has ended.
	HadSession(r *http.Request, realm policy.Realm) bool
	// SessionLeft returns the time until the session ends without another request, and
	// the time until it ends in any case.
	SessionLeft(ctx context.Context, realm policy.Realm) (left, most time.Duration)
	// Secure reports whether cookies are sent over HTTPS only.
	Secure() bool
}

// Words seals search words for one reader, as content.Store does.
type Words interface {
	SealWords(reader, words string) (string, error)
	OpenWords(reader, sealed string) (string, error)
}

// Pause is a pause of alerting, shown on every page.
type Pause struct {
	MessageID *uuid.UUID // nil: of all messages
	Reason    string
	Automatic bool
	PausedAt  time.Time
}

// Await waits a moment for the recorder to reach a position of the record, so that the
// next page shows the result of a request. If the recorder doesn't reach it, the
// request has succeeded all the same.
type Await func(ctx context.Context, seq uint64)

// MostUnread is the number of notices from which on the menu shows only that there are more.
const MostUnread = 100

// Renderer renders pages. It does not know their content. It is safe for concurrent
// use.
type Renderer struct{ cfg Config }

// New makes a Renderer.
func New(cfg Config) *Renderer { return &Renderer{cfg} }

// Log returns the log for errors that readers must not see.
func (rd *Renderer) Log() *slog.Logger { return rd.cfg.Log }

// Handler answers a request. If it returns an error it has written nothing, and the
// error is rendered as a page.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Route is an address and the actions that a reader needs to open it.
type Route struct {
	// Pattern is one of http.ServeMux: "GET /messages/{id}".
	Pattern string
	// Realm selects the session that is read: staff or portal user. [NoSession] reads none.
	Realm policy.Realm
	// Actions lists the actions of which the reader must be allowed at least one. If it
	// is empty, the page needs no sign-in, and [Frame].Me may be nil.
	Actions []policy.Action
	// Takes describes the body, which is read after the actions are checked. The zero
	// value is a small form. A handler reads a form with files itself, part by part.
	Takes  inbound.Body
	Handle Handler
}

// NoSession is the realm of a page that reads no session.
const NoSession policy.Realm = ""

// May is short for a slice of actions.
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
		r = r.WithContext(language.With(withRealm(r.Context(), route.Realm), rd.languageOf(r, route.Realm)))
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

// open reads the form of a request, except one with files. FormValue would read a form
// with files too, and write the files to disk; after open it does not.
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
		return Failure(http.StatusRequestEntityTooLarge, language.Mark("The form is too large"),
			T(r, "Nothing was saved. You can send at most {size} at once: send less.", "size", language.From(r.Context()).Size(large.Limit)))
	case inbound.IsRefusal(err):
		return err
	}
	return fmt.Errorf("%w: %w", errForm, err)
}

var errForm = Failure(http.StatusBadRequest, language.Mark("The form can’t be read"), language.Mark("Go back, reload the page and send it again."))

// allow returns nil if one of the route's actions is allowed, else the refusal of the
// first.
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

// Subject returns the reader of a request. It panics if the route has no actions.
func Subject(r *http.Request) policy.Subject {
	subject, err := policy.SubjectFrom(r.Context())
	if err != nil {
		panic(err) // the route has no actions, so it requires no sign-in
	}
	return subject
}

// IsFragment reports whether htmx requests a part of a page.
func IsFragment(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }
