package page

import (
	"encoding/base64"
	"net/http"
)

// A notice says what a request did, on the page that it leads to. It goes by way of
// a cookie that lives a minute and is shown once. It never names anybody.
const noticeCookie = "postern_notice"

// Redirect leads to a page of ours, which shows the notice; "" for none.
func (k *Kit) Redirect(w http.ResponseWriter, r *http.Request, to, notice string) error {
	if notice != "" {
		http.SetCookie(w, &http.Cookie{Name: noticeCookie, Value: base64.RawURLEncoding.EncodeToString([]byte(notice)),
			Path: "/", MaxAge: 60, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: k.Gate.Secure()}) // #nosec G124 -- secure where the site is
	}
	if IsFragment(r) {
		w.Header().Set("HX-Redirect", to)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// takeNotice gives the notice that waits, and forgets it. A fragment leaves it for
// the next page.
func takeNotice(w http.ResponseWriter, r *http.Request) string {
	cookie, err := r.Cookie(noticeCookie)
	if err != nil || IsFragment(r) {
		return ""
	}
	http.SetCookie(w, &http.Cookie{Name: noticeCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode}) // #nosec G124 -- deletes it
	text, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return ""
	}
	return string(text)
}
