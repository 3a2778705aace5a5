package page

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"postern/internal/problem/document"
)

// contentSecurityPolicy lets a page load only files of this site: no inline script or
// style, and no frame around the page.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// AllowFrames lets a page hold frames of this site.
func AllowFrames(h http.Header) {
	h.Set("Content-Security-Policy", contentSecurityPolicy+"; frame-src 'self'")
}

// Sandbox makes an answer a frame within pages of this site that may run our scripts, and has no origin: it
// reads no cookie, no page and nothing of this site but its files. Opened by itself it is the same.
func Sandbox(h http.Header) {
	h.Set("Content-Security-Policy", "sandbox allow-scripts; default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src blob: data:; font-src blob: data:; "+
		"form-action 'none'; frame-ancestors 'self'; base-uri 'none'")
	h.Set("X-Frame-Options", "SAMEORIGIN")
}

// Protect wraps the handler of all pages: it sets the security headers and refuses
// requests that come from pages of other sites.
func (rd *Renderer) Protect(next http.Handler) http.Handler {
	return secured(rd.ownPagesOnly(next))
}

// secured sets the headers of every page. No cache may keep a page; static files set
// their own Cache-Control.
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

// ownPagesOnly refuses requests that a page of another site makes a browser send.
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

// recovered is deferred, and answers after a panic in a handler. A page is rendered
// whole before its first byte is written, so usually nothing has been written yet.
func (rd *Renderer) recovered(w http.ResponseWriter, r *http.Request) {
	what := recover()
	if what == nil {
		return
	}
	if err, ok := what.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(what) // net/http's way to abort a response
	}
	rd.fail(w, r, fmt.Errorf("a page panicked: %v\n%s", what, debug.Stack()))
}
