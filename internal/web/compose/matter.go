package compose

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"postern/internal/compose/draft"
	"postern/internal/directory"
	audiences "postern/internal/directory/audience"
	"postern/internal/directory/audience/matter"
	"postern/internal/text/zone"
	"postern/internal/web/page"
)

// A message to a portal user who is linked to several patients says whom it concerns. The form has a
// check box for each patient, named aboutField and the portal user's id. The hidden field aboutShown
// names the portal users whose boxes the form has, so that a form without them leaves their picks.
const (
	aboutField = "about:"
	aboutShown = "about-shown"
)

// matterChoice is a patient to pick.
type matterChoice struct {
	ID, Name, Born string
	Chosen         bool
}

// choicesOf returns the patients to whom a portal user is linked today, to pick from, or the only one
// in words.
func choicesOf(l words, u directory.PortalUser, picked []string, now time.Time) (only string, choices []matterChoice) {
	today := zone.In(now).Format(time.DateOnly)
	for _, p := range u.Patients {
		if p.From > today || p.Until != "" && p.Until < today || slices.ContainsFunc(choices, func(c matterChoice) bool { return c.ID == p.ID }) {
			continue
		}
		name := p.Name
		if p.Relationship == directory.Self {
			name += " (" + page.Lower(l.PortalUser.One) + ")"
		}
		choices = append(choices, matterChoice{p.ID, name, born(l, p.BirthDate), slices.Contains(picked, p.ID)})
	}
	switch {
	case len(choices) > 1:
		return "", choices
	case len(choices) == 1 && u.Patients[0].Relationship == directory.Representative:
		return choices[0].Name, nil
	}
	return "", nil
}

// unclearFirst returns the chosen portal users with those last whose patients are to be picked, so that
// they are shown.
func (p *Pages) unclearFirst(r *http.Request, chosen audiences.Selection) ([]string, error) {
	found, err := audiences.Resolve(r.Context(), p.Directory, chosen, p.Now())
	if err != nil {
		return chosen.PortalUserIDs, nil // an unknown recipient, which the page says too
	}
	last := found.Unclear
	for _, wrong := range found.NotLinked {
		last = append(last, wrong.PortalUserID)
	}
	ids := slices.DeleteFunc(slices.Clone(chosen.PortalUserIDs), func(id string) bool { return slices.Contains(last, id) })
	return append(ids, last...), nil
}

// picks applies the check boxes of the form to a draft.
func (f *form) picks(c *draft.Content) {
	for _, id := range f.Values[aboutShown] {
		if slices.Contains(c.Recipients.PortalUserIDs, id) {
			c.Recipients = c.Recipients.With(id, f.Values[aboutField+id])
		}
	}
}

// concerns says whom the message to a member of the audience concerns; "" if it is only the member.
func concerns(l words, m audiences.Member) string {
	var names []string
	for _, id := range m.Matter.IDs() {
		for _, p := range m.Patients {
			if name := p.Name; p.ID == id && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	switch {
	case m.Matter.Basis == matter.NotStated:
		return l.Text("not stated")
	case len(names) == 1 && names[0] == m.Name:
		return ""
	}
	return strings.Join(names, ", ")
}
