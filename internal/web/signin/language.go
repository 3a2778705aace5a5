package signin

import (
	"net/http"

	"postern/internal/access/policy"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// languageAt is the address to which the menu of languages posts, on every page of the portal.
const languageAt = "/portal/language"

// chooseLanguage keeps the language that a reader chose: in the browser, and of a portal user who is
// signed in, at the account, so that e-mails have it, too.
func (p *Pages) chooseLanguage(w http.ResponseWriter, r *http.Request) error {
	l, known := language.Parse(r.PostFormValue("language"))
	if !known {
		return page.Failure(http.StatusUnprocessableEntity, language.Mark("We don’t have this language"), language.Mark("Choose one of the languages of the menu."))
	}
	p.KeepLanguage(w, l)
	if subject, err := policy.SubjectFrom(r.Context()); err == nil {
		if err := p.Gate.ChooseLanguage(r.Context(), subject, l); err != nil {
			return err
		}
	}
	return p.Redirect(w, r, page.Next(r, portal.inside), "")
}
