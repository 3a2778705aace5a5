package compose

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"postern/internal/access"
	"postern/internal/compose/draft"
	"postern/internal/directory"
	audiences "postern/internal/directory/audience"
	"postern/internal/text/folding"
	"postern/internal/web/page"
)

// mostFound is how many people a search shows. For others, the reader types more
// letters.
const mostFound = 10

// findings are the results of a search for people.
type findings struct {
	People []person
	More   bool // there are more results
}

// person is a search result: a person who can be added.
type person struct {
	chip
	Email    string
	Inactive bool
	Chosen   bool
	Doubts   []string // why this may be another person, in words
}

// find runs the searches of a draft's page.
func (p *Pages) find(r *http.Request, l words, e *editing) error {
	if q := strings.TrimSpace(e.FindUser); q != "" {
		users, next, err := directory.Search(r.Context(), p.Directory, q, mostFound, "")
		if err != nil {
			return err
		}
		e.FoundUsers = &findings{More: next != ""}
		ids := make([]string, len(users))
		for i, u := range users {
			ids[i] = u.ID
		}
		doubts, err := directory.Doubts(r.Context(), p.Directory, ids, p.Now())
		if err != nil {
			return err
		}
		for _, u := range users {
			e.FoundUsers.People = append(e.FoundUsers.People, person{chip: chip{u.ID, u.Name, who(l, u, p.Now())},
				Email: u.Email, Inactive: !u.Active, Chosen: slices.Contains(e.Recipients.PortalUserIDs, u.ID), Doubts: doubtsAbout(l, doubts, u.ID)})
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

// findUsers answers the search for portal users while the sender types.
func (p *Pages) findUsers(w http.ResponseWriter, r *http.Request) error {
	return p.showFound(w, r, "found-users", &editing{FindUser: r.FormValue("find-user")})
}

// findStaff answers the search for staff while the sender types.
func (p *Pages) findStaff(w http.ResponseWriter, r *http.Request) error {
	return p.showFound(w, r, "found-staff", &editing{FindStaff: r.FormValue("find-staff")})
}

func (p *Pages) showFound(w http.ResponseWriter, r *http.Request, definition string, e *editing) error {
	var err error
	e.Draft, err = p.open(r)
	if err != nil && !errors.Is(err, draft.ErrNotFound) { // a draft that is not saved yet
		return err
	}
	l, err := p.words(r)
	if err != nil {
		return err
	}
	if err := p.find(r, l, e); err != nil {
		return err
	}
	return p.Fragment(w, r, set, definition, page.View{Template: "edit.html", Data: e})
}

// countGroup answers with the size of a group, which stands beside its button.
func (p *Pages) countGroup(w http.ResponseWriter, r *http.Request) error {
	group := audiences.Group(r.PathValue("group"))
	if !slices.Contains(allGroups, group) {
		return p.NotFound(w, r)
	}
	sizes, err := p.Composer.GroupSizes(r.Context(), page.Subject(r))
	if err != nil {
		return err
	}
	return p.Fragment(w, r, set, "count", page.View{Template: "edit.html", Data: sizes[group]})
}
