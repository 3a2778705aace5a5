package signin_test

import (
	"net/http"
	"net/url"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/text/language"
	"postern/internal/web/webtest"
)

// A staff member chooses Spanish: before the sign-in for this browser, after it for the account, in
// every browser, and for e-mails, too.
func TestStaffChooseALanguage(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	sam := s.NewStaff(t, "Sam Staff", policy.SendPortalMessage)
	signIn := url.Values{"email": {sam.Email}, "password": {webtest.Password}}
	v := s.SignedOut(t)
	v.GetWith("/sign-in", "Accept-Language", "es-MX,en;q=0.5").Is(http.StatusOK).Says("Acceso del personal").HasHTML(`<html lang="es"`)
	v.Post("/language", url.Values{"language": {"fr"}}).Is(http.StatusUnprocessableEntity).Says("We don’t have this language")
	v.Post("/language", url.Values{"language": {"es"}, "next": {"/sign-in"}}).Is(http.StatusOK).Says("Acceso del personal")
	v.Post("/sign-in", signIn).Is(http.StatusOK).Says("Sam Staff", "Búsqueda global")
	v.Post("/language", url.Values{"language": {"en"}, "next": {"/search"}}).Is(http.StatusOK).Says("Global Search")
	v.Post("/language", url.Values{"language": {"es"}, "next": {"/search"}}).Is(http.StatusOK).Says("Búsqueda global")

	elsewhere := s.SignedOut(t)
	elsewhere.Post("/sign-in", signIn).Is(http.StatusOK).Says("Búsqueda global")
	elsewhere.Post("/sign-out", nil).Says("You have signed out.")
	elsewhere.Post("/forgotten", url.Values{"email": {sam.Email}}).Says("Check your e-mail")
	mails(t, s, 1)
	s.Web.Letters.TellFormerAddress(t.Context(), sam.ID, "former@clinic.example")
	want := []string{"Elija una nueva contraseña para su cuenta de personal", "Ha cambiado la dirección de correo de su cuenta de personal"}
	for i, mail := range mails(t, s, 2) {
		if mail.Letter.Subject != want[i] {
			t.Errorf("the e-mail is %q, want %q", mail.Letter.Subject, want[i])
		}
	}
}

// The menu of languages is on the pages of staff, signed in or not.
func TestTheMenuOfLanguagesInABrowser(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	sam := s.NewStaff(t, "Sam Staff", policy.SendPortalMessage)
	b := webtest.OpenBrowser(t, s)
	b.Open("/sign-in")
	b.Click(language.Spanish.Name())
	b.Sees("Acceso del personal")
	b.AccessibleInAllViews()
	b.Screenshot("sign-in-spanish")
	b.Click(language.English.Name())
	b.SignIn(sam)
	b.Open("/search")
	b.Click(language.Spanish.Name())
	b.Sees("Búsqueda global")
	b.At("/search")
	b.AccessibleInAllViews()
	b.Screenshot("search-spanish")
}
