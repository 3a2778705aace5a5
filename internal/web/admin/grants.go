package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/access/twopeople"
	"postern/internal/events"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// grants is the data of the worklist of permissions that wait for a second person.
type grants struct {
	Days    int // of the rule
	Open    []grant
	Settled []grant // the newest
}

// grant is a request for a permission, with the names of those who made and settled it.
type grant struct {
	access.GrantRequest
	By, Settled string
	Own         bool // the reader requested it
	Mine        bool // it is for the reader
}

// Words returns the state in words.
func (g grant) Words() string {
	return map[access.GrantState]string{access.GrantRequested: language.Mark("Waiting for approval"), access.GrantApproved: language.Mark("Given"), access.GrantWithdrawn: language.Mark("Not given"),
		access.GrantExpired: language.Mark("Expired"), access.GrantAccountDisabled: language.Mark("Account disabled")}[g.State]
}

// Colour returns the colour of its tag.
func (g grant) Colour() string {
	return map[access.GrantState]string{access.GrantRequested: "yellow", access.GrantApproved: "green"}[g.State]
}

// Why says what it was requested for, where that is more than a choice of an administrator.
func (g grant) Why() string {
	return map[events.GrantBecause]string{
		events.BecauseNewStaff:       language.Mark("The account was created with it."),
		events.BecauseAddressChanged: language.Mark("They had it. It was taken away because their e-mail address was changed: make sure that they still use the account themselves."),
		events.BecauseFactorReset:    language.Mark("They had it. It was taken away because their second factor was reset: make sure that they still use the account themselves.")}[g.Because]
}

// shownGrants is how many settled requests the worklist shows.
const shownGrants = 20

func (p *Pages) grants(w http.ResponseWriter, r *http.Request) error {
	return p.renderGrants(w, r, nil, 0)
}

func (p *Pages) renderGrants(w http.ResponseWriter, r *http.Request, errs page.Errors, status int) error {
	open, err := p.Gate.OpenGrants(r.Context())
	if err != nil {
		return err
	}
	latest, err := p.Gate.ListGrants(r.Context(), 0, shownGrants+len(open))
	if err != nil {
		return err
	}
	list := grants{Days: int(p.Gate.TwoPeople().Age / twopeople.Days(1))}
	if list.Open, err = p.withNames(r, open); err != nil {
		return err
	}
	latest = slices.DeleteFunc(latest, func(g access.GrantRequest) bool { return g.State == access.GrantRequested })
	if list.Settled, err = p.withNames(r, latest); err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "grants.html", Title: "Permission requests", Section: section, Data: list, Errors: errs, Status: status})
}

func (p *Pages) withNames(r *http.Request, all []access.GrantRequest) (named []grant, err error) {
	me := page.Subject(r)
	for _, request := range all {
		g := grant{GrantRequest: request, Own: request.RequestedBy == me.Actor(), Mine: request.StaffID == me.ID}
		if g.By, err = p.actor(r.Context(), request.RequestedBy); err != nil {
			return nil, err
		}
		if request.SettledBy != nil {
			if g.Settled, err = p.actor(r.Context(), *request.SettledBy); err != nil {
				return nil, err
			}
		}
		named = append(named, g)
	}
	return named, nil
}

// actor returns the name of a staff member or an operator who is an actor.
func (p *Pages) actor(ctx context.Context, actor string) (string, error) {
	kind, id, _ := strings.Cut(actor, ":")
	if kind != string(policy.RealmStaff) {
		return id + " (" + language.From(ctx).Text(kind) + ")", nil
	}
	staff, err := p.Gate.StaffByID(ctx, id)
	if errors.Is(err, access.ErrNoStaff) {
		return id, nil
	}
	return staff.Name, err
}

func (p *Pages) approveGrant(w http.ResponseWriter, r *http.Request) error {
	return p.settleGrant(w, r, p.Gate.ApproveGrant, language.Mark("The permission was given. This is recorded with your name."))
}

func (p *Pages) withdrawGrant(w http.ResponseWriter, r *http.Request) error {
	return p.settleGrant(w, r, p.Gate.WithdrawGrant, language.Mark("The permission was not given. This is recorded with your name."))
}

// settleGrant approves or withdraws a request, and shows the worklist.
func (p *Pages) settleGrant(w http.ResponseWriter, r *http.Request, settle func(context.Context, string, uuid.UUID) (access.GrantRequest, error), done string) error {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return p.NotFound(w, r)
	}
	_, err = settle(r.Context(), page.Subject(r).Actor(), id)
	var notTwo twopeople.NotTwo
	switch {
	case err == nil:
		return p.Redirect(w, r, "/administration/grants", done)
	case errors.Is(err, access.ErrNoGrant):
		return p.NotFound(w, r)
	case errors.Is(err, access.ErrGrantSettled):
		return p.renderGrants(w, r, page.Errors{{Field: "grants", Message: sentence(r, err)}}, http.StatusConflict)
	case errors.As(err, &notTwo):
		return p.renderGrants(w, r, page.Errors{{Field: "grant-" + id.String(), Message: sentence(r, err)}}, http.StatusForbidden)
	}
	return err
}
