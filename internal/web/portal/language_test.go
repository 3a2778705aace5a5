package portal_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/access/policy"
	"postern/internal/process"
	"postern/internal/text/language"
	"postern/internal/web/webtest"
)

// subjects are the subjects of all e-mails, in their order.
func (c clinic) subjects() (all []string) {
	for m := range c.Mails.Accepted() {
		all = append(all, m.Letter.Subject)
	}
	return all
}

// A patient chooses Arabic and reads a message. The page is in Arabic and from right to left; the
// message stays as it was written. The e-mail about the next message is in Arabic, too.
func TestErrandReadMyMessagesInArabic(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.NewPortalUser(t, "pat")
	c.send(message{subject: "After your operation", body: careText, documents: []webtest.File{notes}}, "pat")
	e := webtest.PortalErrand(t, c.Site, "pat")
	e.Click("العربية")
	e.Sees("رسائلك", "After your operation", "من Ada Brook", "معها مستند واحد")
	e.Accessible()
	e.Screenshot("portal-inbox-arabic")
	e.Click("After your operation")
	e.Sees("رجوع إلى رسائلك", "Change the dressing each morning.", "مستند واحد", "وضع علامة غير مقروءة")
	e.Accessible()
	e.Screenshot("portal-message-arabic")
	e.Done()
	c.send(message{subject: "Your next visit", body: "On Monday."}, "pat")
	if diff := cmp.Diff([]string{"You have a new secure message", "لديك رسالة آمنة جديدة"}, c.subjects()); diff != "" {
		t.Errorf("the e-mails (-want +got):\n%s", diff)
	}
}

// A page is in the language of the account, else of the browser's choice, else of Accept-Language.
func TestLanguageOfAPage(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	v := c.SignedOut(t)
	in := func(p *webtest.Page, tag, text string) {
		t.Helper()
		p.Is(http.StatusOK).Says(text).HasHTML(`<html lang="` + tag + `"`)
		if got := p.Header.Get("Content-Language"); got != tag {
			t.Errorf("Content-Language is %q, want %q", got, tag)
		}
	}
	in(v.GetWith("/portal/sign-in", "Accept-Language", "de-AT,de;q=0.9,en;q=0.8"), "de", "Melden Sie sich bei Ihren Nachrichten an")
	in(v.GetWith("/sign-in", "Accept-Language", "de-AT"), "en", "Staff sign-in")
	v.Post("/portal/language", url.Values{"language": {"xx"}}).Is(http.StatusUnprocessableEntity).Says("We don’t have this language")
	in(v.Post("/portal/language", url.Values{"language": {"zh"}, "next": {"/portal/forgotten"}}), "zh-Hans", "获取设置密码的链接")
	in(v.GetWith("/portal/sign-in", "Accept-Language", "de"), "zh-Hans", "登录查看您的消息")

	pat := c.PortalUser(t, "pat")
	in(pat.Post("/portal/language", url.Values{"language": {"es"}, "next": {"https://elsewhere.example/"}}), "es", "Sus mensajes")
	elsewhere := c.SignedOut(t)
	elsewhere.Post("/portal/language", url.Values{"language": {"fr"}})
	in(elsewhere.Post("/portal/sign-in", url.Values{"email": {"pat@example.org"}, "password": {webtest.Password}}), "es", "Sus mensajes")
	elsewhere.Post("/portal/sign-out", nil).Says("Vous êtes déconnecté.")
	// Errors and notices are in the language of the page, also those with numbers.
	pat.Post("/portal/account/password", url.Values{"current": {"wrong"}, "password": {"short"}}).Is(http.StatusUnprocessableEntity).
		Says("Esta no es su contraseña actual.", "Elija otra contraseña: necesita al menos 10 caracteres.")
	pat.Post("/portal/account/emails", url.Values{"emails": {"off"}}).Says("Ya no recibe correos sobre mensajes nuevos.")
	pat.Get("/portal/nothing").Is(http.StatusNotFound).Says("Página no encontrada")
}

// An e-mail with a link is in the language of the page on which it was asked for, or that of the
// account.
func TestLanguageOfALetter(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.NewPortalUser(t, "pat")
	v := c.SignedOut(t)
	v.Post("/portal/language", url.Values{"language": {"de"}})
	v.Post("/portal/forgotten", url.Values{"email": {"pat@example.org"}}).Says("Sehen Sie in Ihren E-Mails nach")
	c.letterLink(1)
	if err := c.Web.Gate.ChooseLanguage(t.Context(), pat, language.French); err != nil {
		t.Fatal(err)
	}
	staff := policy.Subject{Realm: policy.RealmStaff, ID: "s", Permissions: []policy.Permission{policy.ImportDirectory}}
	if err := c.Web.Letters.Invite(t.Context(), staff, "pat"); err != nil {
		t.Fatal(err)
	}
	c.letterLink(2)
	want := []string{"Neues Passwort für sichere Nachrichten festlegen", "Choisissez un nouveau mot de passe pour les messages sécurisés"}
	if diff := cmp.Diff(want, c.subjects()); diff != "" {
		t.Errorf("the e-mails (-want +got):\n%s", diff)
	}
}

// With texts twice as long as the English ones, no page is wider than a small window; in Arabic,
// axe-core finds no violation on any page.
func TestLanguagesFit(t *testing.T) {
	t.Parallel()
	for _, l := range []language.Language{language.Doubled, language.Arabic, language.German} {
		t.Run(string(l), func(t *testing.T) {
			t.Parallel()
			c := newClinicIn(t, l)
			c.NewPortalUser(t, "pat")
			id := c.send(message{subject: "After your operation", body: careText, documents: []webtest.File{notes}}, "pat")
			notesAt := c.document(id)
			b := webtest.OpenBrowser(t, c.Site)
			look := func(name, path string) {
				t.Helper()
				b.Open(path)
				b.Wide()
				if l == language.Arabic {
					b.Accessible()
				}
				b.Screenshot("language-" + string(l) + "-" + name + "-wide")
				b.Narrow()
				if l != language.Doubled {
					b.Accessible()
				} else if wide := webtest.Evaluate[int](b, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
					t.Errorf("%s is wider than its window by %d", path, wide)
				}
				b.Screenshot("language-" + string(l) + "-" + name)
			}
			look("sign-in", "/portal/sign-in")
			look("forgotten", "/portal/forgotten")
			look("link", "/portal/invitation")
			b.SignInPortalIn("pat", l)
			for name, path := range map[string]string{"inbox": "/portal", "message": "/portal/messages/" + id, "document": notesAt, "text": notesAt + "/show",
				"account": "/portal/account", "sessions": "/portal/account/sessions", "passkey": "/portal/account/second-factor/passkey", "help": "/portal/help", "nothing": "/portal/nothing"} {
				look(name, path)
			}
		})
	}
}

// newClinicIn is a clinic whose pages are all in one language.
func newClinicIn(t *testing.T, l language.Language) clinic {
	t.Helper()
	s := webtest.New(t, func(c *process.WebConfig) { c.Language = l })
	return clinic{s, t, s.System.Staff(t, "Ada Brook", policy.SendPortalMessage)}
}
