package signin

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"

	"postern/internal/access"
	"postern/internal/access/oidc"
	"postern/internal/web/page"
)

// Staff sign in at their organisation in three steps: a link leads there, they sign in,
// and the organisation redirects to our registered address. The attempt is stored for
// the browser that started it.
const organisationAt = "/sign-in/organisation"

func (p *Pages) toOrganisation(w http.ResponseWriter, r *http.Request) error {
	if p.Organisation == nil {
		return p.NotFound(w, r)
	}
	if err := p.Gate.Throttle(r.Context(), access.AtOrganisation); err != nil {
		return err
	}
	attempt, to, err := p.Organisation.Begin(r.Context())
	if err != nil {
		return p.refused(w, r, err)
	}
	attempt.Next = page.Next(r, "")
	kept, err := json.Marshal(attempt)
	if err != nil {
		return err
	}
	p.Gate.KeepAttempt(r.Context(), string(kept))
	http.Redirect(w, r, to, http.StatusSeeOther) // #nosec G710 -- the clinic's own issuer
	return nil
}

func (p *Pages) fromOrganisation(w http.ResponseWriter, r *http.Request) error {
	if p.Organisation == nil {
		return p.NotFound(w, r)
	}
	if err := p.Gate.Throttle(r.Context(), access.AtOrganisation); err != nil {
		return err
	}
	kept := p.Gate.TakeAttempt(r.Context())
	if kept == "" { // a second return, or a link from another browser: there is no attempt
		return p.refused(w, r, oidc.Refused{Reason: oidc.WrongState})
	}
	var attempt oidc.Attempt
	if err := json.Unmarshal([]byte(kept), &attempt); err != nil {
		return err
	}
	who, err := p.Organisation.Finish(r.Context(), attempt, r.URL.Query())
	if refused := (oidc.Refused{}); errors.As(err, &refused) {
		if err := p.Gate.RecordRefusal(r.Context(), refused.Reason); err != nil {
			return err
		}
	}
	if err != nil {
		return p.refused(w, r, err)
	}
	subject, err := p.Gate.SignInByOrganisation(r.Context(), who)
	if err != nil {
		return p.refused(w, r, err)
	}
	if err := p.Gate.Begin(r.Context(), subject); err != nil {
		return err
	}
	to := staff.inside
	if attempt.Next != "" {
		to = attempt.Next
	}
	return p.Redirect(w, r, to, "")
}

// refused shows the sign-in again with an error. The issuer's own text goes to the log.
func (p *Pages) refused(w http.ResponseWriter, r *http.Request, err error) error {
	said, status := err, http.StatusForbidden
	refusal, here := oidc.Refused{}, access.OrganisationRefusal{}
	switch {
	case errors.Is(err, oidc.ErrUnreachable):
		said, status = oidc.ErrUnreachable, http.StatusServiceUnavailable
	case errors.As(err, &refusal):
		said = refusal
	case errors.As(err, &here):
		refusal.Reason = here.Reason
	default:
		return err
	}
	p.Log().WarnContext(r.Context(), "a sign-in through the organisation failed", "reason", refusal.Reason, "cause", cmp.Or(refusal.Unwrap(), err))
	return p.Render(w, r, set, page.View{Template: "sign_in.html", Title: staff.heading, Scripts: scripts, Data: p.form(staff, r), Status: status,
		Errors: page.Errors{{Field: "organisation", Message: page.Say(r, said)}}})
}
