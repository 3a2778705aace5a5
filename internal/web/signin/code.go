package signin

import (
	"errors"
	"net/http"
	"net/url"

	"postern/internal/access"
	"postern/internal/web/page"
)

// The code of a second factor is asked for on its own page, after the right password.
// Until the right code, the person is not signed in.
const codeAt = "/sign-in/code"

// askForCode redirects from the password to the page for the code.
func (p *Pages) askForCode(w http.ResponseWriter, r *http.Request, needed access.CodeNeeded) error {
	if err := p.Gate.AwaitCode(r.Context(), needed); err != nil {
		return err
	}
	to := codeAt
	if next := page.Next(r, ""); next != "" {
		to += "?next=" + url.QueryEscape(next)
	}
	return p.Redirect(w, r, to, "")
}

func (p *Pages) code(w http.ResponseWriter, r *http.Request) error {
	if !p.Gate.AwaitsCode(r.Context()) {
		return p.Redirect(w, r, staff.signIn, "")
	}
	return p.showCode(w, r, nil, nil)
}

func (p *Pages) showCode(w http.ResponseWriter, r *http.Request, err error, faults page.Errors) error {
	return p.Render(w, r, set, page.View{Template: "code.html", Title: "Type your code", Data: page.Next(r, ""), Status: page.Refused(w, err), Errors: faults})
}

func (p *Pages) enterByCode(w http.ResponseWriter, r *http.Request) error {
	who, err := p.Gate.SignInWithCode(r.Context(), r.PostFormValue("code"))
	tooSoon, needed := access.TooSoon{}, access.CodeNeeded{}
	switch {
	case errors.Is(err, access.ErrNotHalfway):
		return p.Redirect(w, r, staff.signIn, page.Sentence(err))
	case errors.As(err, &needed):
		return p.showCode(w, r, err, page.Errors{{Field: "code", Message: "Type the code that your app shows."}})
	case errors.Is(err, access.ErrWrongCode), errors.As(err, &tooSoon):
		return p.showCode(w, r, err, page.Errors{{Field: "code", Message: page.Sentence(err)}})
	case err != nil:
		return err
	}
	if err := p.Gate.Begin(r.Context(), who); err != nil {
		return err
	}
	return p.Redirect(w, r, page.Next(r, staff.inside), "")
}
