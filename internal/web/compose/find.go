package compose

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"postern/internal/access"
	"postern/internal/compose/draft"
	"postern/internal/directory"
	"postern/internal/labels"
	"postern/internal/text/folding"
	"postern/internal/web/page"
)

// mostFound is how many people a search shows: who is not among them needs more
// letters.
const mostFound = 10

// findings are the people whom a search found.
type findings struct {
	People []person
	More   bool // there are others
}

// person is somebody who may be added.
type person struct {
	chip
	Email    string
	Inactive bool
	Chosen   bool
}

// find does the searches that the page of a draft asks for.
func (p *Pages) find(r *http.Request, l labels.Labels, e *editing) error {
	if q := strings.TrimSpace(e.FindUser); q != "" {
		users, next, err := directory.Search(r.Context(), p.Directory, q, mostFound, "")
		if err != nil {
			return err
		}
		e.FoundUsers = &findings{More: next != ""}
		for _, u := range users {
			e.FoundUsers.People = append(e.FoundUsers.People, person{chip: chip{u.ID, u.Name, who(l, u, p.Now())},
				Email: u.Email, Inactive: !u.Active, Chosen: slices.Contains(e.Recipients.PortalUserIDs, u.ID)})
		}
	}
	if q := strings.TrimSpace(e.FindStaff); q != "" {
		staff, err := p.Gate.ListStaff(r.Context())
		if err != nil {
			return err
		}
		e.FoundBccs = &findings{}
		for _, s := range access.Enabled(staff) {
			switch {
			case !folding.Mentions(s.Name+" "+s.Email, q):
			case len(e.FoundBccs.People) == mostFound:
				e.FoundBccs.More = true
			default:
				e.FoundBccs.People = append(e.FoundBccs.People, person{chip: chip{ID: s.ID, Name: s.Name},
					Email: s.Email, Chosen: slices.Contains(e.StaffBcc, s.ID)})
			}
		}
	}
	return nil
}

// findUsers answers while somebody types a name.
func (p *Pages) findUsers(w http.ResponseWriter, r *http.Request) error {
	return p.showFound(w, r, "found-users", &editing{FindUser: r.FormValue("find-user")})
}

// findStaff likewise.
func (p *Pages) findStaff(w http.ResponseWriter, r *http.Request) error {
	return p.showFound(w, r, "found-staff", &editing{FindStaff: r.FormValue("find-staff")})
}

func (p *Pages) showFound(w http.ResponseWriter, r *http.Request, definition string, e *editing) error {
	var err error
	e.Draft, err = p.open(r)
	if err != nil && !errors.Is(err, draft.ErrNotFound) { // it has not been saved yet
		return err
	}
	l, err := p.Labels.Current(r.Context())
	if err != nil {
		return err
	}
	if err := p.find(r, l, e); err != nil {
		return err
	}
	return p.Fragment(w, r, set, definition, page.View{Template: "edit.html", Data: e})
}

// countGroup says how many are in a group, beside the button that adds it.
func (p *Pages) countGroup(w http.ResponseWriter, r *http.Request) error {
	group := directory.Group(r.PathValue("group"))
	if !slices.Contains(allGroups, group) {
		return p.NotFound(w, r)
	}
	sizes, err := p.Composer.GroupSizes(r.Context(), page.Subject(r))
	if err != nil {
		return err
	}
	return p.Fragment(w, r, set, "count", page.View{Template: "edit.html", Data: sizes[group]})
}
