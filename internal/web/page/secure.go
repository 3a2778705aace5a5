package page

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"postern/internal/problem/document"
)

// contentSecurityPolicy lets a page have what we serve ourselves and nothing else: no script and
// no style inline, no frame around it.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// Protect is what every request for a page goes through.
func (rd *Renderer) Protect(next http.Handler) http.Handler {
	return secured(rd.ownPagesOnly(next))
}

// secured sets the headers that every page has. What a page shows is kept by no
// cache; static files say otherwise for themselves.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// ownPagesOnly refuses what a page of another site has a browser send.
func (rd *Renderer) ownPagesOnly(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := protection.Check(r); err != nil {
			rd.fail(w, r, document.ErrCrossOrigin)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// recovered answers, deferred, for a handler that panicked: pages are rendered whole
// before their first byte is written, so that mostly nothing has been.
func (rd *Renderer) recovered(w http.ResponseWriter, r *http.Request) {
	what := recover()
	if what == nil {
		return
	}
	if err, ok := what.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(what) // net/http's own way to break an answer off
	}
	rd.fail(w, r, fmt.Errorf("a page panicked: %v\n%s", what, debug.Stack()))
}
