package page

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"postern/internal/inbound"
)

// A notice is a text about the last request, shown on the page that the request
// redirects to. It is carried by a cookie that lives one minute. It is shown once, and
// only on that page: a page in another tab is about something else. It never contains a
// name.
//
// A notice says what was done, never the current state, which can change while the
// notice is still shown. If the state on a page changes, the fragment with the new
// state removes the notices ("notices-over").
const noticeCookie = "postern_notice"

// Redirect redirects to a page of this site, which shows the notice; "" for none.
func (rd *Renderer) Redirect(w http.ResponseWriter, r *http.Request, to, notice string) error {
	if notice != "" {
		http.SetCookie(w, &http.Cookie{Name: rd.noticeCookie(), Value: base64.RawURLEncoding.EncodeToString([]byte(pathOf(to) + "\n" + notice)),
			Path: "/", MaxAge: 60, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: rd.cfg.Sessions.Secure()}) // #nosec G124 -- secure where the site is
	}
	if IsFragment(r) {
		w.Header().Set("HX-Redirect", to)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

func (rd *Renderer) noticeCookie() string {
	return inbound.CookieName(noticeCookie, rd.cfg.Sessions.Secure())
}

// pathOf returns the path of an address of this site.
func pathOf(to string) string {
	u, err := url.Parse(to)
	if err != nil {
		return ""
	}
	return u.Path
}

// takeNotice returns the notice for the page of the request and deletes its cookie. A
// request for a fragment leaves the cookie for the next page.
func (rd *Renderer) takeNotice(w http.ResponseWriter, r *http.Request) string {
	cookie, err := r.Cookie(rd.noticeCookie())
	if err != nil || IsFragment(r) {
		return ""
	}
	kept, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	path, text, _ := strings.Cut(string(kept), "\n")
	// "/" redirects to the reader's first page.
	if err == nil && path != r.URL.Path && path != "/" {
		return ""
	}
	http.SetCookie(w, &http.Cookie{Name: rd.noticeCookie(), Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: rd.cfg.Sessions.Secure()}) // #nosec G124 -- secure where the site is
	return text
}
