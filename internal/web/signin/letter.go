package signin

import (
	"errors"
	"net/http"

	"postern/internal/access"
	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/web/page"
)

// letterAt is the address of the pages for a letter with a user name and a code. It is printed on
// letters: see package letters.
const letterAt = "/portal/letter"

// letterRoutes are the addresses at which portal users choose a password with a letter.
func (p *Pages) letterRoutes() []page.Route {
	return []page.Route{
		{Pattern: "GET " + letterAt, Realm: policy.RealmPortalUser, Handle: p.letter},
		{Pattern: "POST " + letterAt, Realm: policy.RealmPortalUser, Handle: p.acceptLetter},
	}
}

// letterForm is the data of both pages. The code is in the body of a POST and in the second form, and
// nowhere else.
type letterForm struct {
	At, SignIn, UserName, Code string
	Name                       string // of the person
	First                      bool
	Least                      int // characters of a password
}

func (p *Pages) letter(w http.ResponseWriter, r *http.Request) error {
	return p.askLetter(w, r, letterForm{}, nil)
}

func (p *Pages) askLetter(w http.ResponseWriter, r *http.Request, f letterForm, refusal error) error {
	f.At, f.SignIn = letterAt, portal.signIn
	view := page.View{Template: "letter.html", Title: "Use the code of your letter", Data: f, Status: page.Refused(w, refusal)}
	if refusal != nil {
		view.Errors = page.Errors{{Field: "user_name", Message: page.Say(r, refusal)}}
	}
	return p.Render(w, r, set, view)
}

// acceptLetter takes the user name and the code, and names the account; the next form has both and a
// password.
func (p *Pages) acceptLetter(w http.ResponseWriter, r *http.Request) error {
	f := letterForm{At: letterAt, SignIn: portal.signIn, UserName: r.PostFormValue("user_name"), Code: r.PostFormValue("code"), Least: int(portal.least)}
	typed := access.LetterCode{UserName: f.UserName, Code: f.Code}
	if !r.PostForm.Has("password") {
		return p.chooseByLetter(w, r, f, typed, nil)
	}
	password := r.PostFormValue("password")
	err := p.Gate.AcceptLetter(r.Context(), typed, password)
	switch {
	case errors.Is(err, access.ErrLetterCode), errors.As(err, new(access.TooSoon)):
		return p.askLetter(w, r, letterForm{UserName: f.UserName}, err)
	case errors.Is(err, passwords.ErrRefused):
		return p.chooseByLetter(w, r, f, typed, page.Errors{{Field: "password", Message: page.Say(r, err)}})
	case err != nil:
		return err
	}
	subject, err := p.Gate.SignInPortal(r.Context(), access.Credentials{Email: f.UserName, Password: password})
	if needed := (access.CodeNeeded{}); errors.As(err, &needed) {
		return p.askForCode(w, r, portal, needed)
	}
	if err != nil {
		return err
	}
	if err := p.Gate.Begin(r.Context(), subject); err != nil {
		return err
	}
	return p.Redirect(w, r, portal.inside, "Your password is set. Next time, sign in with your user name and your password.")
}

func (p *Pages) chooseByLetter(w http.ResponseWriter, r *http.Request, f letterForm, typed access.LetterCode, faults page.Errors) error {
	who, err := p.Gate.WhoHasLetter(r.Context(), typed)
	if errors.Is(err, access.ErrLetterCode) || errors.As(err, new(access.TooSoon)) {
		return p.askLetter(w, r, letterForm{UserName: f.UserName}, err)
	}
	if err != nil {
		return err
	}
	f.Name, f.UserName, f.First = who.Name, who.Email, who.First
	return p.Render(w, r, set, page.View{Template: "letter_password.html", Title: "Choose a password", Scripts: scripts, Data: f, Errors: faults})
}
