package record

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/directory"
	"postern/internal/directory/audience/matter"
	"postern/internal/record/query"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// disclosed is the data of a page of disclosures.
type disclosed struct {
	timeline
	About     bool // about a patient; otherwise to a portal user
	Disclosed []disclosure
}

// disclosure is a message that a portal user received.
type disclosure struct {
	query.Disclosure
	To          string
	Authorities []authority
	Concerns    string // whom the message concerns, if the recipient has several patients
}

// authority is a link as it was when the message was sent, and its end if it has ended since.
type authority struct {
	Patient, PatientID string
	Self               bool
	Ended              string // the last day, "" while the link is in force
}

// disclosuresAbout shows the messages sent about a patient, with their recipients.
func (p *Pages) disclosuresAbout(w http.ResponseWriter, r *http.Request) error {
	found, err := directory.PatientByID(r.Context(), p.Directory, r.PathValue("id"))
	if errors.Is(err, directory.ErrNotFound) {
		return p.NotFound(w, r)
	}
	if err != nil {
		return err
	}
	d := disclosed{timeline: timeline{ID: found.ID, Name: found.Name}, About: true}
	return p.showDisclosures(w, r, d, query.Filter{PatientID: found.ID}, "/record/patients/"+found.ID)
}

// disclosuresTo shows the messages sent to a portal user, with the patients.
func (p *Pages) disclosuresTo(w http.ResponseWriter, r *http.Request) error {
	t, found, err := p.person(r)
	if err != nil {
		return err
	}
	if !found {
		return p.NotFound(w, r)
	}
	return p.showDisclosures(w, r, disclosed{timeline: t}, query.Filter{PortalUserID: t.ID}, "/record/portal-users/"+t.ID+"/disclosures")
}

func (p *Pages) showDisclosures(w http.ResponseWriter, r *http.Request, d disclosed, f query.Filter, path string) error {
	before, errs := disclosurePlace(r.FormValue("before"))
	var err error
	if d.Standing, err = p.recordState(r); err != nil {
		return err
	}
	if len(errs) == 0 {
		found, more, err := p.Record.Disclosures(r.Context(), reader(r), f, before, perPage)
		if err != nil {
			return err
		}
		if d.Disclosed, err = p.described(r, found); err != nil {
			return err
		}
		if more {
			last := found[len(found)-1].Cursor()
			d.Older = address(path, "before", last.MessageID.String()+"."+strconv.Itoa(int(last.PortalUserNo)))
		}
		if before.MessageID != uuid.Nil {
			d.Newest = path
		}
		d.Exports = exports(r, f)
	}
	return p.Render(w, r, set, page.View{Template: "disclosures.html", Title: "Disclosures", Section: section, Data: &d, Errors: errs})
}

func disclosurePlace(text string) (place query.DisclosureCursor, errs page.Errors) {
	if text == "" {
		return place, nil
	}
	id, no, _ := strings.Cut(text, ".")
	message, err1 := uuid.Parse(id)
	n, err2 := strconv.ParseInt(no, 10, 32)
	if err1 != nil || err2 != nil {
		return place, page.Errors{{Message: language.Mark("The address of this page is not complete. Start again from the newest messages")}}
	}
	return query.DisclosureCursor{MessageID: message, PortalUserNo: int32(n)}, nil // #nosec G115 -- parsed as such
}

// described adds names, and the present state of each link in the directory.
func (p *Pages) described(r *http.Request, found []query.Disclosure) ([]disclosure, error) {
	people := map[string]directory.PortalUser{}
	all := make([]disclosure, len(found))
	for i, d := range found {
		u, known := people[d.PortalUserID]
		if !known {
			var err error
			if u, err = directory.PortalUserByID(r.Context(), p.Directory, d.PortalUserID); err != nil {
				return nil, err
			}
			people[u.ID] = u
		}
		all[i] = disclosure{Disclosure: d, To: u.Name, Concerns: concerns(r, d.Matter, u)}
		for _, link := range d.Authority {
			a := authority{Patient: link.PatientID, PatientID: link.PatientID, Self: link.Relationship == directory.Self}
			for _, now := range u.Patients {
				if now.ID == link.PatientID && now.Relationship == link.Relationship {
					a.Patient, a.Ended = now.Name, p.ended(r, now.Until)
				}
			}
			all[i].Authorities = append(all[i].Authorities, a)
		}
	}
	return all, nil
}

// concerns says whom a message to a portal user concerns; "" if the portal user had only that patient.
func concerns(r *http.Request, m matter.Matter, u directory.PortalUser) string {
	var names []string
	for _, id := range m.IDs() {
		name := id
		for _, now := range u.Patients {
			if now.ID == id {
				name = now.Name
			}
		}
		names = append(names, name)
	}
	switch {
	case m.Basis == matter.NotStated && len(names) > 1:
		return page.T(r, "Does not state which of them it concerns: {names}", "names", strings.Join(names, ", "))
	case m.Basis == matter.NotStated, m.Basis == matter.NoPatient, len(u.Patients) < 2:
		return ""
	}
	return page.T(r, "Concerns {names}", "names", strings.Join(names, ", "))
}

// ended returns the last day of a link that has ended, in words.
func (p *Pages) ended(r *http.Request, until string) string {
	if until >= p.Now().Format(time.DateOnly) {
		return ""
	}
	return directory.DayText(language.From(r.Context()), until)
}
