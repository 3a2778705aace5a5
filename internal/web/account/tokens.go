package account

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/limits"
	"postern/internal/web/page"

	"github.com/google/uuid"
)

const tokens = home + "/tokens"

func (p *Pages) tokenRoutes() []page.Route {
	route := func(pattern string, handle page.Handler) page.Route {
		return page.Route{Pattern: pattern, Realm: policy.RealmStaff, Actions: page.May(policy.MakeTokens), Handle: handle}
	}
	return []page.Route{
		route("GET "+tokens, p.tokens),
		route("POST "+tokens, p.makeToken),
		route("POST "+tokens+"/{id}/revoke", p.revokeToken),
	}
}

// The values of the field scope.
const (
	scopeOwner  = "owner"
	scopeListed = "listed"
)

// defaultDays is the lifetime that the form offers first.
const defaultDays = int(access.DefaultTokenLifetime / (24 * time.Hour))

// lifetimes are the lifetimes that the form offers, in days.
var lifetimes = []int{7, 30, defaultDays, 180, int(limits.TokenLifetime)}

// myTokens is the data of the page of API tokens. The form is as typed.
type myTokens struct {
	Tokens    []access.Token
	Name      string
	Scope     string
	Boxes     []box
	Days      int
	Lifetimes []int
}

// box is the checkbox of a permission.
type box struct {
	policy.Permission
	Ticked bool
}

func (p *Pages) tokens(w http.ResponseWriter, r *http.Request) error {
	return p.showTokens(w, r, myTokens{Days: defaultDays}, nil, nil)
}

// showTokens shows the list and the form, with the permissions in ticked ticked.
func (p *Pages) showTokens(w http.ResponseWriter, r *http.Request, form myTokens, ticked []policy.Permission, errs page.Errors) error {
	me := page.Subject(r)
	var err error
	if form.Tokens, err = p.Gate.Tokens(r.Context(), me.ID); err != nil {
		return err
	}
	form.Lifetimes = lifetimes
	for _, permission := range policy.All {
		if slices.Contains(me.Permissions, permission) {
			form.Boxes = append(form.Boxes, box{permission, slices.Contains(ticked, permission)})
		}
	}
	return p.render(w, r, page.View{Template: "tokens.html", Title: "API tokens", Data: form, Errors: errs})
}

// madeToken is the data of the page that shows a new token.
type madeToken struct {
	access.Token
	Secret string
}

// makeToken makes a token and shows it, which happens only once.
func (p *Pages) makeToken(w http.ResponseWriter, r *http.Request) error {
	form := myTokens{Name: r.PostFormValue("name"), Scope: r.PostFormValue("scope"), Days: page.Number(r, "days", defaultDays, int(limits.TokenLifetime))}
	ticked := []policy.Permission{}
	for _, name := range r.PostForm["permission"] {
		ticked = append(ticked, policy.Permission(name))
	}
	until := time.Now().Add(time.Duration(form.Days) * 24 * time.Hour)
	n := access.NewToken{Name: form.Name, ExpiresAt: &until}
	var errs page.Errors
	switch {
	case form.Scope == scopeListed:
		n.Permissions = ticked
	case form.Scope != scopeOwner:
		errs = append(errs, page.Error{Field: "scope", Message: "Choose what the token permits"})
	case len(ticked) > 0:
		errs = append(errs, page.Error{Field: "scope", Message: "Choose either everything or the permissions that you ticked"})
	}
	me := page.Subject(r)
	if len(errs) > 0 {
		return p.showTokens(w, r, form, ticked, errs)
	}
	made, secret, err := p.Gate.CreateToken(r.Context(), me.Actor(), me.ID, n)
	for _, one := range page.Joined(err) {
		field := fieldOf(one)
		if field == "" {
			return err
		}
		errs = append(errs, page.Error{Field: field, Message: page.Say(r, one)})
	}
	if len(errs) > 0 {
		return p.showTokens(w, r, form, ticked, errs)
	}
	return p.render(w, r, page.View{Template: "token_made.html", Title: "Your new API token", Data: madeToken{made, secret}})
}

// fieldOf returns the field of the form that a refusal is about, "" for any other error.
func fieldOf(err error) string {
	switch {
	case errors.Is(err, access.ErrTokenName), errors.Is(err, access.ErrTooManyTokens):
		return "name"
	case errors.Is(err, access.ErrTokenPermissions):
		return "scope"
	case errors.Is(err, access.ErrTokenExpiry):
		return "days"
	}
	return ""
}

func (p *Pages) revokeToken(w http.ResponseWriter, r *http.Request) error {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return p.NotFound(w, r)
	}
	me := page.Subject(r)
	err = p.Gate.RevokeToken(r.Context(), me.Actor(), me.ID, id, events.RevokedByOwner)
	if errors.Is(err, access.ErrNoToken) {
		return p.NotFound(w, r)
	}
	if err != nil {
		return err
	}
	return p.Redirect(w, r, tokens, "The token is revoked. A program that uses it is refused from now on.")
}
