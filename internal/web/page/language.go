package page

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"postern/internal/access/policy"
	"postern/internal/inbound"
	"postern/internal/text/language"
)

// A page is in the language that its reader chose: as the account has it, else as this browser has
// it, else the best of Accept-Language. The choice in the browser is a cookie, so that the sign-in
// page has it, too.
const languageCookie = "postern_language"

// Languages returns the languages of the pages of a realm.
func Languages(realm policy.Realm) []language.Language {
	if realm == policy.RealmPortalUser {
		return language.Portal
	}
	return language.Staff
}

// LanguageAt is the address to which the menu of languages of a realm posts.
func LanguageAt(realm policy.Realm) string {
	if realm == policy.RealmPortalUser {
		return "/portal/language"
	}
	return "/language"
}

// languageOf returns the language of the page that answers a request.
func (rd *Renderer) languageOf(r *http.Request, realm policy.Realm) language.Language {
	if rd.cfg.Language != "" {
		return rd.cfg.Language
	}
	among := Languages(realm)
	if subject, err := policy.SubjectFrom(r.Context()); realm != NoSession && err == nil && slices.Contains(among, subject.Language) {
		return subject.Language
	}
	if cookie, err := r.Cookie(rd.languageCookie()); err == nil {
		if l, known := language.Parse(cookie.Value); known && slices.Contains(among, l) {
			return l
		}
	}
	return language.Match(r.Header.Get("Accept-Language"), among)
}

func (rd *Renderer) languageCookie() string {
	return inbound.CookieName(languageCookie, rd.cfg.Sessions.Secure())
}

// KeepLanguage stores the choice of a language in this browser for a year.
func (rd *Renderer) KeepLanguage(w http.ResponseWriter, l language.Language) {
	http.SetCookie(w, &http.Cookie{Name: rd.languageCookie(), Value: string(l), Path: "/", MaxAge: int((365 * 24 * time.Hour).Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: rd.cfg.Sessions.Secure()}) // #nosec G124 -- secure where the site is
}

// realmAt returns the realm of an address for which no route was found yet.
func realmAt(r *http.Request) policy.Realm {
	if r.URL.Path == "/portal" || strings.HasPrefix(r.URL.Path, "/portal/") {
		return policy.RealmPortalUser
	}
	return policy.RealmStaff
}

// speak translates the texts of a view that Go code made, and offers the languages of the realm.
func (f *Frame) speak(r *http.Request) {
	f.Language = language.From(r.Context())
	f.Title, f.Notice = f.Language.Text(f.Title), f.Language.Text(f.Notice)
	f.Errors = slices.Clone(f.Errors)
	for i := range f.Errors {
		f.Errors[i].Message = f.Language.Text(f.Errors[i].Message)
	}
	if f.Realm != NoSession {
		f.Languages, f.LanguageAt = Languages(f.Realm), LanguageAt(f.Realm)
	}
	f.Here = "/"
	if f.Realm == policy.RealmPortalUser {
		f.Here = "/portal"
	}
	if r.Method == http.MethodGet {
		f.Here = f.Path
	}
}

// T returns a text with values in the language of the reader. Texts without values need no T: titles,
// errors and notices are translated when they are shown.
func T(r *http.Request, english string, args ...any) string {
	return language.From(r.Context()).Text(english, args...)
}
