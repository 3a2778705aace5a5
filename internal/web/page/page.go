package page

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/desk"
	"postern/internal/inbound"
	"postern/internal/problem/document"
	"postern/internal/store"
	"postern/internal/text/size"
)

// Kit renders pages. It is safe for concurrent use.
type Kit struct {
	*desk.Desk
	log      *slog.Logger
	problems document.Problems
}

// New makes a Kit.
func New(d *desk.Desk, log *slog.Logger) *Kit {
	return &Kit{d, log, document.Problems{Logger: log, Transient: store.Transient}}
}

// Log is where what is not for readers is said.
func (k *Kit) Log() *slog.Logger { return k.log }

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
func (k *Kit) Mount(mux *http.ServeMux, routes ...Route) {
	for _, route := range routes {
		h := k.serve(route)
		switch route.Realm {
		case policy.RealmStaff:
			h = k.Gate.Staff(h)
		case policy.RealmPortalUser:
			h = k.Gate.Portal(h)
		}
		mux.Handle(route.Pattern, h)
	}
}

func (k *Kit) serve(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(withRealm(r.Context(), route.Realm))
		defer k.recovered(w, r)
		err := allow(r, route)
		if err == nil {
			err = open(r, route)
		}
		if err == nil {
			err = route.Handle(w, r)
		}
		if err != nil {
			k.fail(w, r, err)
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
		return Failure(http.StatusRequestEntityTooLarge, "That is too much at once", fmt.Sprintf("Nothing was saved. At most %s are taken at once: send less.", size.Text(large.Limit)))
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
	subject, err := access.SubjectFrom(r.Context())
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
	subject, err := access.SubjectFrom(r.Context())
	if err != nil {
		panic(err) // the route names no actions, and so let anybody through
	}
	return subject
}

// IsFragment says whether a part of a page is asked for, by htmx, and not a page.
func IsFragment(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }
