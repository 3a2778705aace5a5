package admin

import (
	"errors"
	"net/http"
	"strconv"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/web/page"
)

// addressRoutes are the addresses at which staff confirm a changed e-mail address.
func (p *Pages) addressRoutes() []page.Route {
	return []page.Route{
		{Pattern: "POST /directory/portal-users/{id}/confirm-address", Realm: policy.RealmStaff, Actions: page.May(policy.Invite), Handle: p.confirmAddress},
	}
}

// confirmAddress records that the reader checked the address with the person. The form has the
// version of the address that the page showed.
func (p *Pages) confirmAddress(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	version, err := strconv.Atoi(r.PostFormValue("version"))
	if err != nil {
		version = -1
	}
	err = p.Gate.ConfirmAddress(r.Context(), page.Subject(r).Actor(), id, version)
	switch {
	case errors.Is(err, access.ErrOtherAddress):
		return p.renderPortalUser(w, r, page.Errors{{Field: "confirm-address", Message: page.Say(r, err)}})
	case errors.Is(err, access.ErrNoPortalUser):
		return p.renderPortalUser(w, r, nil) // the page says that the account is not active, or there is none
	case err != nil:
		return err
	}
	return p.Redirect(w, r, "/directory/portal-users/"+id, "The e-mail address is confirmed. This is recorded with your name.")
}
