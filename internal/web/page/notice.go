package page

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// A notice says what a request did, on the page that it leads to. It goes by way of
// a cookie that lives a minute, and is shown once, on that page alone: on another,
// opened meanwhile in another tab, it would be about something else. It never holds a
// name.
//
// A notice says what was done, and never how things stand: that moves on while the
// notice stays. Where the state that a page shows moves on, the fragment that brings the
// new state takes notices away ("notices-over").
const noticeCookie = "postern_notice"

// Redirect leads to a page of ours, which shows the notice; "" for none.
func (rd *Renderer) Redirect(w http.ResponseWriter, r *http.Request, to, notice string) error {
	if notice != "" {
		http.SetCookie(w, &http.Cookie{Name: noticeCookie, Value: base64.RawURLEncoding.EncodeToString([]byte(pathOf(to) + "\n" + notice)),
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

// pathOf is the path of an address of ours.
func pathOf(to string) string {
	u, err := url.Parse(to)
	if err != nil {
		return ""
	}
	return u.Path
}

// takeNotice gives the notice that waits for the page of the request, and forgets it.
// A fragment leaves it for the next page.
func takeNotice(w http.ResponseWriter, r *http.Request) string {
	cookie, err := r.Cookie(noticeCookie)
	if err != nil || IsFragment(r) {
		return ""
	}
	kept, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	path, text, _ := strings.Cut(string(kept), "\n")
	// "/" leads on to the page that the person begins at.
	if err == nil && path != r.URL.Path && path != "/" {
		return ""
	}
	http.SetCookie(w, &http.Cookie{Name: noticeCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode}) // #nosec G124 -- deletes it
	return text
}
