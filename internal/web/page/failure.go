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
	"postern/internal/text/language"
)

var own = Templates(base)

// fail renders an error as a page. The status is the one that the API gives the same
// error.
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
	if values := language.Localized(nil); errors.As(err, &values) {
		told := *p
		told.Detail = language.From(r.Context()).Say(values.Message())
		f.Document = &told
	}
	if denied := (policy.Forbidden{}); errors.As(err, &denied) && denied.Missing != "" {
		f.Detail, f.Missing = "", denied.Missing.Name()
	}
	if err := rd.Render(w, r, own, f.view(r)); err != nil { // for example, Postgres is unavailable and the labels can't be read
		rd.cfg.Log.WarnContext(r.Context(), "a failure could not be rendered within the frame", "error", err)
		f.bare(w, r)
	}
}

// failure is the data of the page that is shown instead of the requested one.
type failure struct {
	*document.Document
	Missing string // the name of the missing permission, for people
	Again   string // the address to try again, "" if that can't help
	Sent    bool   // the request was a form, which can be sent again
	Detail  string
}

func (f failure) view(r *http.Request) View {
	if f.Missing == "" {
		f.Detail = detail(language.From(r.Context()), f.Document.Detail)
	}
	if f.Status >= http.StatusInternalServerError {
		f.Sent = r.Method != http.MethodGet && r.Method != http.MethodHead
		if !f.Sent {
			f.Again = r.URL.RequestURI()
		}
	}
	return View{Template: "failure.html", Title: f.Title, Status: f.Status, Data: f}
}

// detail returns what is wrong in a language. The catalogs have the errors of packages as sentences.
func detail(l language.Language, english string) string {
	if english == "" {
		return ""
	}
	sentence := Sentence(errors.New(english))
	if text := l.Text(sentence); text != sentence {
		return text
	}
	return l.Text(english)
}

// bare answers with a failure page that needs no database: it shows no signed-in reader
// and uses the default labels.
func (f failure) bare(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "2")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	l := language.From(r.Context())
	w.Header().Set("Content-Language", l.Tag())
	w.WriteHeader(f.Status)
	frame := &Frame{View: f.view(r), L: labels.Default().In(l), Path: r.URL.RequestURI()}
	frame.speak(r)
	frame.Languages = nil
	_ = own.byName(l)["failure.html"].ExecuteTemplate(w, "layout", frame)
}

// Failure returns an error that is shown as a page with this status, title and detail.
func Failure(status int, title, detail string) error {
	return &document.Document{Status: status, Title: title, Detail: detail}
}

// Refused returns the status of a form that is shown again because of err. For a
// problem of the kind [problem.TooMany] it is 429, and Refused sets Retry-After. For
// others it is 0, which selects the usual status.
func Refused(w http.ResponseWriter, err error) int {
	found := problem.Of(err)
	if found == nil || found.Kind != problem.TooMany {
		return 0
	}
	w.Header().Set("Retry-After", document.From(found).GetHeaders().Get("Retry-After"))
	return http.StatusTooManyRequests
}

// Problem returns the problem document of an error, and logs an error that is not the
// client's fault. If a handler returns the document as its error, it is not logged
// again.
func (rd *Renderer) Problem(r *http.Request, err error) *document.Document {
	return rd.cfg.Problems.Of(r.Context(), err)
}

// Sentence returns the text of an error, which must be written for people, as a
// sentence in English. [Say] has it in the language of the reader.
func Sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// Say returns the text of an error, which must be written for people, as a sentence in the language
// of the reader. An error whose text has values is a [language.Localized].
func Say(r *http.Request, err error) string {
	l := language.From(r.Context())
	if values := language.Localized(nil); errors.As(err, &values) {
		return l.Say(values.Message())
	}
	return l.Text(Sentence(err))
}

// Joined returns the errors that err joins, or err alone.
func Joined(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // an error that wraps a join says more than the join
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// Unavailable answers a request whose session could not be read: with a page if the
// client prefers HTML, else as [document.Unavailable]. It serves as
// [access.Config].Fail.
func Unavailable(w http.ResponseWriter, r *http.Request, err error) {
	if IsFragment(r) || !inbound.Prefers(r.Header, "text/html", "application/problem+json") {
		document.Unavailable(w, r, err)
		return
	}
	if realm := realmAt(r); realm == policy.RealmPortalUser {
		r = r.WithContext(language.With(withRealm(r.Context(), realm), language.Match(r.Header.Get("Accept-Language"), language.Portal)))
	}
	failure{Document: &document.Document{Title: language.Mark("The service is not available right now"), Status: http.StatusServiceUnavailable,
		Detail: language.Mark("Nothing is lost. Try again in a moment.")}}.bare(w, r)
}

// toSignIn redirects to the sign-in page of the reader's realm, which leads back to the
// requested page.
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

// Next returns the page to open after a sign-in: the one that ?next= names if it is on
// this site, else otherwise.
func Next(r *http.Request, otherwise string) string {
	next := r.FormValue("next")
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || len(next) < 2 || next[0] != '/' || next[1] == '/' || next[1] == '\\' {
		return otherwise
	}
	return next
}

// NotFound answers an address that has no page.
func (rd *Renderer) NotFound(w http.ResponseWriter, r *http.Request) error {
	return rd.Render(w, r, own, failure{Document: &document.Document{Title: language.Mark("Page not found"), Status: http.StatusNotFound,
		Detail: language.Mark("If you typed the address, check that it is correct. If you followed a link, the page no longer exists.")}}.view(r))
}

// Number reads a number from 1 to most from the query, such as ?limit=. Without a valid
// number it returns fallback.
func Number(r *http.Request, name string, fallback, most int) int {
	n, err := strconv.Atoi(r.FormValue(name))
	if err != nil || n < 1 || n > most {
		return fallback
	}
	return n
}
