package signin

import (
	"net/http"
	"slices"

	"postern/internal/access/policy"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// chooseLanguage keeps the language that a reader chose: in the browser, and at the account of a
// person who is signed in, so that e-mails have it, too.
func (p *Pages) chooseLanguage(e signInPage) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		l, known := language.Parse(r.PostFormValue("language"))
		if !known || !slices.Contains(page.Languages(e.realm), l) {
			return page.Failure(http.StatusUnprocessableEntity, language.Mark("We don’t have this language"), language.Mark("Choose one of the languages of the menu."))
		}
		p.KeepLanguage(w, l)
		if subject, err := policy.SubjectFrom(r.Context()); err == nil {
			if err := p.Gate.ChooseLanguage(r.Context(), subject, l); err != nil {
				return err
			}
		}
		return p.Redirect(w, r, page.Next(r, e.inside), "")
	}
}
