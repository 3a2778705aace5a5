package page

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"postern/internal/access"
	"postern/internal/api"
)

var own = MustParse(base)

// fail renders an error. The kinds of errors are those of the API: what it answers
// 404 to is not found here either.
func (k *Kit) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, access.ErrUnauthenticated) {
		k.toSignIn(w, r)
		return
	}
	if errors.Is(err, access.ErrFactorDue) {
		_ = k.Redirect(w, r, "/account", "")
		return
	}
	p := api.ProblemOf(r.Context(), k.log, err)
	if IsFragment(r) {
		http.Error(w, p.Title+". "+p.Detail, p.Status)
		return
	}
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	err = k.Render(w, r, own, View{Template: "failure.html", Title: p.Title, Status: p.Status, Data: p})
	if err != nil { // as when the labels can't be read, because Postgres is away
		k.log.WarnContext(r.Context(), "a failure could not be rendered as a page", "error", err)
		w.Header().Set("Retry-After", "2")
		http.Error(w, p.Title+". "+p.Detail, p.Status)
	}
}

// Problem is what an error comes to. What is no fault of the asker's is told to the
// log; returned from a handler, a problem is not told again.
func (k *Kit) Problem(r *http.Request, err error) *api.Problem {
	return api.ProblemOf(r.Context(), k.log, err)
}

// Sentence makes a sentence of an error that is meant for people.
func Sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// Unavailable answers for a request whose session could not be read. It is what
// [access.Config].Fail wants.
func Unavailable(w http.ResponseWriter, _ *http.Request, _ error) {
	w.Header().Set("Retry-After", "2")
	http.Error(w, "The service is not available right now. Nothing is lost: try again in a moment.", http.StatusServiceUnavailable)
}

// toSignIn leads to where the reader's realm signs in, and from there back to what
// was asked for.
func (k *Kit) toSignIn(w http.ResponseWriter, r *http.Request) {
	to := "/sign-in"
	if realmOf(r.Context()) == access.RealmPortalUser {
		to = "/portal/sign-in"
	}
	ask := url.Values{}
	if r.Method == http.MethodGet && !IsFragment(r) && r.URL.Path != "/portal" && r.URL.Path != "/" {
		ask.Set("next", r.URL.RequestURI())
	}
	if k.Gate.HadSession(r, realmOf(r.Context())) {
		ask.Set("expired", "1")
	}
	if len(ask) > 0 {
		to += "?" + ask.Encode()
	}
	_ = k.Redirect(w, r, to, "")
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
func (k *Kit) NotFound(w http.ResponseWriter, r *http.Request) error {
	return k.Render(w, r, own, View{Template: "failure.html", Title: "Page not found", Status: http.StatusNotFound,
		Data: &api.Problem{Title: "Page not found", Detail: "If you typed the address, check that it is right."}})
}

// Number reads a number of the query, such as ?limit=; the fallback where there is none.
func Number(r *http.Request, name string, fallback, most int) int {
	n, err := strconv.Atoi(r.FormValue(name))
	if err != nil || n < 1 || n > most {
		return fallback
	}
	return n
}
