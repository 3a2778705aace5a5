package page

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"postern/internal/access/policy"
	"postern/internal/inbound"
	"postern/internal/labels"
	"postern/internal/problem"
	"postern/internal/problem/document"
)

var own = MustParse(base)

// fail renders an error. The kinds of errors are those of the API: an error that the API answers 404 is
// not found here either.
func (rd *Renderer) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, policy.ErrUnauthenticated) {
		rd.toSignIn(w, r)
		return
	}
	if errors.Is(err, policy.ErrFactorDue) {
		_ = rd.Redirect(w, r, "/account", "")
		return
	}
	p := rd.cfg.Problems.Of(r.Context(), err)
	if IsFragment(r) {
		http.Error(w, p.Title+". "+p.Detail, p.Status)
		return
	}
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	f := failure{Document: p}
	if denied := (policy.Forbidden{}); errors.As(err, &denied) && denied.Missing != "" {
		f.Detail, f.Missing = "", denied.Missing.Name()
	}
	if err := rd.Render(w, r, own, f.view(r)); err != nil { // as when the labels can't be read, because Postgres is away
		rd.cfg.Log.WarnContext(r.Context(), "a failure could not be rendered within the frame", "error", err)
		f.bare(w, r)
	}
}

// failure is what a page says that there is instead of another.
type failure struct {
	*document.Document
	Missing string // the permission that would help, as people read it
	Again   string // the address to ask for once more, where that may help
	Sent    bool   // it was a form, which can be sent once more
	Detail  string
}

func (f failure) view(r *http.Request) View {
	if f.Missing == "" {
		f.Detail = f.Document.Detail
	}
	if f.Status >= http.StatusInternalServerError {
		f.Sent = r.Method != http.MethodGet && r.Method != http.MethodHead
		if !f.Sent {
			f.Again = r.URL.RequestURI()
		}
	}
	return View{Template: "failure.html", Title: f.Title, Status: f.Status, Data: f}
}

// bare answers with the page of a failure as it is without anything that is asked for
// from elsewhere: who is signed in, and how the clinic names things.
func (f failure) bare(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "2")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(f.Status)
	_ = own.byName["failure.html"].ExecuteTemplate(w, "layout", &Frame{View: f.view(r), L: labels.Default(), Path: r.URL.RequestURI()})
}

// Failure is an error that is shown as a page of its own words.
func Failure(status int, title, detail string) error {
	return &document.Document{Status: status, Title: title, Detail: detail}
}

// Refused is the status of a form that is shown again because of err: 429, with when to
// try again, for a problem of the kind [problem.TooMany], and what is usual for others.
func Refused(w http.ResponseWriter, err error) int {
	found := problem.Of(err)
	if found == nil || found.Kind != problem.TooMany {
		return 0
	}
	w.Header().Set("Retry-After", document.From(found).GetHeaders().Get("Retry-After"))
	return http.StatusTooManyRequests
}

// Problem is what an error comes to. What is no fault of the asker's is told to the
// log; returned from a handler, a problem is not told again.
func (rd *Renderer) Problem(r *http.Request, err error) *document.Document {
	return rd.cfg.Problems.Of(r.Context(), err)
}

// Sentence makes a sentence of an error that is meant for people.
func Sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// Faults gives the errors that were joined into one, each by itself.
func Faults(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // what wraps a join says more than the join
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// Unavailable answers for a request whose session could not be read: with a page where
// one is asked for, else as [document.Unavailable]. It is what [access.Config].Fail wants.
func Unavailable(w http.ResponseWriter, r *http.Request, err error) {
	if IsFragment(r) || !inbound.Prefers(r.Header, "text/html", "application/problem+json") {
		document.Unavailable(w, r, err)
		return
	}
	failure{Document: &document.Document{Title: "The service is not available right now", Status: http.StatusServiceUnavailable,
		Detail: "Nothing is lost. Try again in a moment."}}.bare(w, r)
}

// toSignIn leads to where the reader's realm signs in, and from there back to what
// was asked for.
func (rd *Renderer) toSignIn(w http.ResponseWriter, r *http.Request) {
	to := "/sign-in"
	if realmOf(r.Context()) == policy.RealmPortalUser {
		to = "/portal/sign-in"
	}
	ask := url.Values{}
	if r.Method == http.MethodGet && !IsFragment(r) && r.URL.Path != "/portal" && r.URL.Path != "/" {
		ask.Set("next", r.URL.RequestURI())
	}
	if rd.cfg.Sessions.HadSession(r, realmOf(r.Context())) {
		ask.Set("expired", "1")
	}
	if len(ask) > 0 {
		to += "?" + ask.Encode()
	}
	_ = rd.Redirect(w, r, to, "")
}

// Next is where a sign-in leads: what ?next= asks for, where that is a page of ours.
func Next(r *http.Request, otherwise string) string {
	next := r.FormValue("next")
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || len(next) < 2 || next[0] != '/' || next[1] == '/' || next[1] == '\\' {
		return otherwise
	}
	return next
}

// NotFound answers an address at which there is nothing.
func (rd *Renderer) NotFound(w http.ResponseWriter, r *http.Request) error {
	return rd.Render(w, r, own, failure{Document: &document.Document{Title: "Page not found", Status: http.StatusNotFound,
		Detail: "If you typed the address, check that it is correct. If you followed a link, the page no longer exists."}}.view(r))
}

// Number reads a number of the query, such as ?limit=; the fallback where there is none.
func Number(r *http.Request, name string, fallback, most int) int {
	n, err := strconv.Atoi(r.FormValue(name))
	if err != nil || n < 1 || n > most {
		return fallback
	}
	return n
}
