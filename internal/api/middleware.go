package api

import (
	"errors"
	"net/http"
	"runtime/debug"
	"strings"

	"postern/internal/problem"
	"postern/internal/problem/document"
	"postern/internal/telemetry"
)

// middleware wraps the routes with the middleware of every request. The first line added
// here is the innermost.
func (a *API) middleware() http.Handler {
	routes := http.NewServeMux()
	routes.Handle("/v1/portal/", a.cfg.Sessions.Portal(a.mux))
	routes.Handle("/v1/", a.cfg.Sessions.Staff(a.mux))
	routes.Handle("/", a.mux)

	var h http.Handler = routes
	h = a.known(h)
	h = ownPagesOnly(h)
	h = textOnly(h)
	h = secured(h)
	h = a.recovered(h)
	return a.cfg.Telemetry.Requests(a.route, h)
}

// route is the pattern of the handler of a request, or "".
func (a *API) route(r *http.Request) string {
	_, pattern := a.mux.Handler(r)
	return pattern
}

// known answers requests for which no operation is registered.
func (a *API) known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Some GETs are recorded as reads. A HEAD reads nothing, so it is refused.
		head := r.Method == http.MethodHead && strings.HasPrefix(r.URL.Path, "/v1/")
		if a.route(r) != "" && !head {
			next.ServeHTTP(w, r)
			return
		}
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			other := r.Clone(r.Context())
			other.Method = method
			if a.route(other) != "" {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) == 0 {
			document.Write(w, document.From(problem.NotFound.Problem("There is nothing at this address: /docs lists all operations.")))
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		document.Write(w, document.From(problem.WrongMethod.Problem("This address accepts "+strings.Join(allowed, " and ")+".")))
	})
}

// ownPagesOnly refuses requests that another site makes a browser send with its user's
// cookie. A request with a token is not checked: a browser does not add a token by itself.
func ownPagesOnly(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			if err := protection.Check(r); err != nil {
				document.Write(w, document.From(document.ErrCrossOrigin))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// secured sets the security headers of every answer.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// recovered answers for a handler that panicked.
func (a *API) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &telemetry.Answer{ResponseWriter: w}
		defer func() {
			what := recover()
			if what == nil {
				return
			}
			if err, ok := what.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(what) // this is how net/http aborts a response
			}
			p := document.Instance("It was logged. Tell your administrator this problem's instance.")
			a.cfg.Logger.ErrorContext(r.Context(), "a handler panicked", "instance", p.Instance, "panic", what, "stack", string(debug.Stack()))
			if answer.Status != 0 {
				panic(http.ErrAbortHandler) // the client must not mistake a partial answer for a complete one
			}
			document.Write(w, p)
		}()
		next.ServeHTTP(answer, r)
	})
}
