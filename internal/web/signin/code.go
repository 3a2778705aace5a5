package signin

import (
	"errors"
	"net/http"
	"net/url"

	"postern/internal/access"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// The second factor is asked for on its own page, after the right password. Until it is right, the
// person is not signed in. A passkey also signs in alone: the sign-in page leads to a page that
// asks the browser for it.

// askForCode redirects from the password to the page for the second factor.
func (p *Pages) askForCode(w http.ResponseWriter, r *http.Request, e signInPage, needed access.CodeNeeded) error {
	if err := p.Gate.AwaitCode(r.Context(), needed); err != nil {
		return err
	}
	return p.Redirect(w, r, withNext(e.code(), r), "")
}

// withNext adds the page to open after the sign-in to an address.
func withNext(to string, r *http.Request) string {
	if next := page.Next(r, ""); next != "" {
		to += "?next=" + url.QueryEscape(next)
	}
	return to
}

// second is the data of the page for the second factor, and of the page for a passkey.
type second struct {
	Code, SignIn string // addresses
	Options      string // for the browser, if it can ask for a passkey
	Confirm      string // address to which the passkey's answer is posted
	Next         string
	Portal       bool
}

func (p *Pages) code(e signInPage) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error { return p.showCode(w, r, e, nil, nil) }
}

func (p *Pages) showCode(w http.ResponseWriter, r *http.Request, e signInPage, refusal error, faults page.Errors) error {
	options, err := p.Gate.BeginSecondPasskey(r.Context(), e.realm, r.Host)
	if errors.Is(err, access.ErrNotHalfway) {
		return p.Redirect(w, r, e.signIn, "")
	}
	if err != nil {
		return err
	}
	title := language.Mark("Type your code")
	if options != "" {
		title = language.Mark("Use your passkey or a code")
	}
	return p.Render(w, r, set, page.View{Template: "code.html", Title: title, Scripts: passkeyScripts, Status: page.Refused(w, refusal), Errors: faults,
		Data: second{e.code(), e.signIn, options, e.code() + "/passkey", page.Next(r, ""), e == portal}})
}

// passkeyScripts are those of pages that ask for a passkey.
var passkeyScripts = []string{"reader.js", "passkey.js"}

func (p *Pages) enterByCode(e signInPage) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		who, err := p.Gate.SignInWithCode(r.Context(), e.realm, r.PostFormValue("code"))
		tooSoon, needed := access.TooSoon{}, access.CodeNeeded{}
		switch {
		case errors.Is(err, access.ErrNotHalfway):
			return p.Redirect(w, r, e.signIn, page.Say(r, err))
		case errors.As(err, &needed):
			return p.showCode(w, r, e, err, page.Errors{{Field: "code", Message: "Type the code that your app shows."}})
		case errors.Is(err, access.ErrWrongCode), errors.As(err, &tooSoon):
			return p.showCode(w, r, e, err, page.Errors{{Field: "code", Message: page.Say(r, err)}})
		case err != nil:
			return err
		}
		if err := p.Gate.Begin(r.Context(), who); err != nil {
			return err
		}
		return p.Redirect(w, r, page.Next(r, e.inside), "")
	}
}

func (p *Pages) enterBySecondPasskey(e signInPage) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		who, err := p.Gate.SignInWithPasskey(r.Context(), e.realm, r.PostFormValue("credential"))
		switch {
		case errors.Is(err, access.ErrNotHalfway):
			return p.Redirect(w, r, e.signIn, page.Say(r, err))
		case isRefusal(err):
			return p.showCode(w, r, e, err, page.Errors{{Field: "passkey", Message: page.Say(r, err)}})
		case err != nil:
			return err
		}
		if err := p.Gate.Begin(r.Context(), who); err != nil {
			return err
		}
		return p.Redirect(w, r, page.Next(r, e.inside), "")
	}
}

// isRefusal reports whether an error says to a person why their passkey was not accepted.
func isRefusal(err error) bool {
	tooSoon := access.TooSoon{}
	return errors.Is(err, access.ErrNoCeremony) || errors.Is(err, access.ErrWrongPasskey) || errors.Is(err, access.ErrClonedPasskey) || errors.As(err, &tooSoon)
}

// passkey asks the browser for a passkey, with which a person signs in without a password.
func (p *Pages) passkey(e signInPage) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		options, err := p.Gate.BeginPasskeySignIn(r.Context(), e.realm, r.Host)
		if isRefusal(err) {
			return p.refusePasskey(w, r, e, err)
		}
		if err != nil {
			return err
		}
		return p.Render(w, r, set, page.View{Template: "passkey.html", Title: "Sign in with a passkey", Scripts: passkeyScripts,
			Data: second{e.code(), e.signIn, options, e.passkey() + "/confirm", page.Next(r, ""), e == portal}})
	}
}

func (p *Pages) enterByPasskey(e signInPage) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		who, err := p.Gate.SignInByPasskey(r.Context(), e.realm, r.PostFormValue("credential"))
		if isRefusal(err) {
			return p.refusePasskey(w, r, e, err)
		}
		if err != nil {
			return err
		}
		if err := p.Gate.Begin(r.Context(), who); err != nil {
			return err
		}
		return p.Redirect(w, r, page.Next(r, e.inside), "")
	}
}

// refusePasskey shows the sign-in again.
func (p *Pages) refusePasskey(w http.ResponseWriter, r *http.Request, e signInPage, err error) error {
	f, field := p.form(e, r), "passkey"
	if f.Passkey == "" { // there are none at this address, and no button
		field = "email"
	}
	return p.Render(w, r, set, page.View{Template: "sign_in.html", Title: e.heading, Scripts: scripts, Data: f, Status: page.Refused(w, err),
		Errors: page.Errors{{Field: field, Message: page.Say(r, err)}}})
}
