package record

import (
	"errors"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"postern/internal/directory"
	"postern/internal/inbox/delivered"
	"postern/internal/problem"
	"postern/internal/web/page"
)

// explanation is the page that says why a portal user got a message, or did not.
type explanation struct {
	Message  string
	ID, Name string // of the portal user; "" to ask for one
	Why      *delivered.Why
	Reason   string   // in words, with the clinic's labels in braces
	Patients []string // the names of those whose links are the reason
}

// why shows the form, or the reason for the portal user in it.
func (p *Pages) why(w http.ResponseWriter, r *http.Request) error {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return p.NotFound(w, r)
	}
	if _, err := p.Messages.Visible(r.Context(), page.Subject(r), id); err != nil {
		return err
	}
	e := explanation{Message: id.String(), ID: strings.TrimSpace(r.FormValue("portal-user"))}
	v := page.View{Template: "why.html", Title: "Why did they get it, or not?", Section: section, Data: &e}
	if e.ID == "" {
		return p.Render(w, r, set, v)
	}
	why, err := p.Record.Why(r.Context(), reader(r), id, e.ID)
	var kind *problem.Error
	switch {
	case errors.As(err, &kind) && kind.Kind == problem.NotFound:
		v.Errors = page.Errors{{Field: "portal-user", Message: "No one in the directory has this id"}}
		return p.Render(w, r, set, v)
	case errors.As(err, &kind):
		v.Errors = page.Errors{{Field: "portal-user", Message: page.Say(r, kind)}}
		return p.Render(w, r, set, v)
	}
	if err != nil {
		return err
	}
	e.Why, e.Reason = &why, page.T(r, why.Words())
	u, err := directory.PortalUserByID(r.Context(), p.Directory, e.ID)
	if err != nil {
		return err
	}
	e.Name = u.Name
	names := map[string]string{}
	for _, patient := range u.Patients {
		names[patient.ID] = patient.Name
	}
	for _, patient := range why.Patients {
		e.Patients = append(e.Patients, strings.TrimSpace(names[patient]+" ("+patient+")"))
	}
	return p.Render(w, r, set, v)
}
