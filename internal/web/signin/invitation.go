package signin

import (
	"errors"
	"net/http"

	"postern/internal/access"
	"postern/internal/access/letter"
	"postern/internal/access/passwords"
	"postern/internal/text/address"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// A person gets a password in four steps: they ask for a link, or staff send one (package
// letter); the letter brings the link; the page that it opens names the account; they
// choose a password.
//
// The link's token is in its fragment, which browsers do not send. A script puts it
// into the form of the page and posts it; without scripts the reader pastes the link.
// So the token is in the body of a POST and nowhere else: not in our logs or a proxy's,
// not in a Referer, and not in the browser's history after the page was opened.

// links is the data of the pages about links.
type links struct {
	Open           bool // the clinic can send letters
	Email          string
	SignIn, Forgot string // addresses of other pages
	Link           string // address of the page that a link opens
}

func (p *Pages) links(e signInPage) links {
	return links{Open: p.Letters.Enabled(), SignIn: e.signIn, Forgot: e.forgot, Link: e.link}
}

func (p *Pages) forgotten(e signInPage) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		return p.showForgotten(w, r, e, "", nil, nil)
	}
}

func (p *Pages) showForgotten(w http.ResponseWriter, r *http.Request, e signInPage, email string, refusal error, faults page.Errors) error {
	data := p.links(e)
	data.Email = email
	return p.Render(w, r, set, page.View{Template: "forgotten.html", Title: "Get a link to choose a password",
		Data: data, Status: page.Refused(w, refusal), Errors: faults})
}

// request uses only the typed address, so it does not reveal accounts: see
// [letter.Letters.RequestLinks].
func (p *Pages) request(e signInPage) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		email, err := address.Clean(r.PostFormValue("email"))
		refuse := func(err error, message string) error {
			return p.showForgotten(w, r, e, r.PostFormValue("email"), err, page.Errors{{Field: "email", Message: message}})
		}
		if err != nil {
			return refuse(nil, language.Mark("Type an e-mail address, like name@example.org."))
		}
		err = p.Letters.RequestLinks(r.Context(), e.realm, email)
		tooSoon := access.TooSoon{}
		switch {
		case errors.As(err, &tooSoon):
			return refuse(err, language.From(r.Context()).Count(minutes(tooSoon.After), "You have asked for several links for this address. Look for the e-mail, or try again in a minute.",
				"You have asked for several links for this address. Look for the e-mail, or try again in {n} minutes."))
		case errors.Is(err, letter.ErrBusy):
			return refuse(err, language.Mark("Too many people are asking for a link right now. Try again in a minute."))
		case errors.Is(err, letter.ErrOff):
			return p.showForgotten(w, r, e, email, nil, nil)
		case err != nil:
			return err
		}
		return p.Redirect(w, r, e.sent(), "")
	}
}

func (p *Pages) requested(e signInPage) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		return p.Render(w, r, set, page.View{Template: "sent.html", Title: "Check your e-mail", Data: p.links(e)})
	}
}

// invited is the data of the page to choose a password.
type invited struct {
	access.Invited
	Token string
	Link  string // address that the form is posted to
	Least int    // minimum length of a password, in characters
}

func (p *Pages) invitation(e signInPage) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error { return p.openLink(w, r, e, nil) }
}

func (p *Pages) openLink(w http.ResponseWriter, r *http.Request, e signInPage, faults page.Errors) error {
	return p.Render(w, r, set, page.View{Template: "link.html", Title: "Open your link", Scripts: scripts, Data: p.links(e), Errors: faults})
}

// accept takes the link and names the account; the next form has the link and a password.
func (p *Pages) accept(e signInPage) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		token := letter.Token(r.PostFormValue("link"))
		if token == "" {
			return p.openLink(w, r, e, page.Errors{{Field: "link", Message: "Paste the link from the e-mail."}})
		}
		if !r.PostForm.Has("password") {
			return p.choose(w, r, e, token, nil)
		}
		err := p.Gate.AcceptInvitation(r.Context(), e.realm, token, r.PostFormValue("password"))
		switch {
		case errors.Is(err, access.ErrInvitation):
			return p.spent(w, r, e)
		case errors.Is(err, passwords.ErrRefused):
			return p.choose(w, r, e, token, page.Errors{{Field: "password", Message: page.Say(r, err)}})
		case err != nil:
			return err
		}
		// Another person may be signed in in this browser.
		if err := p.Gate.SignOut(r.Context(), e.realm); err != nil {
			return err
		}
		return p.Redirect(w, r, e.signIn, "Your password is set. Now sign in with it.")
	}
}

func (p *Pages) choose(w http.ResponseWriter, r *http.Request, e signInPage, token string, faults page.Errors) error {
	who, err := p.Gate.WhoIsInvited(r.Context(), e.realm, token)
	if errors.Is(err, access.ErrInvitation) {
		return p.spent(w, r, e)
	}
	if err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "choose.html", Title: "Choose a password", Scripts: scripts,
		Data: invited{who, token, e.link, int(e.least)}, Errors: faults})
}

// spent answers for an invalid, expired or used link.
func (p *Pages) spent(w http.ResponseWriter, r *http.Request, e signInPage) error {
	return p.Render(w, r, set, page.View{Template: "spent.html", Title: "This link no longer works", Status: http.StatusGone, Data: p.links(e)})
}
