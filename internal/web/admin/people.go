package admin

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"postern/internal/access"
	"postern/internal/access/letter"
	"postern/internal/access/policy"
	"postern/internal/directory"
	"postern/internal/labels"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// kind is one of the two kinds of people: portal users and patients.
type kind struct {
	Path        string       // of their list
	One, Others labels.Label // the labels of this kind and of the linked kind
	About       string       // heading of the detail shown for each, and the text if it is unknown (Unknown)
	Unknown     string
	Hint        string // what the reader can search for
}

// people is the data of a list of one kind.
type people struct {
	kind
	Query string
	Rows  []person
	First string // address of the first page, "" on the first page
	Older string
}

// person is a portal user or a patient, with the links to the others.
type person struct {
	ID, Name, Href string
	Ticks          bool // a portal user, who can be ticked
	About          string
	States         []state
	Links          []link
	More           int // number of links that are not in Links
}

// state is a status in words, with its colour.
type state struct{ Text, Colour string }

// link is a link between a portal user and a patient, seen from one of them.
type link struct {
	ID, Name, Href string // of the other person; Href is "" if the reader may not open the page
	As             string // the relationship of the portal user to the patient
	States         []state
	Term           string // when it is in force, "" for always
	Over           bool   // it has ended
}

// linksInList is the number of links that a list shows for a person.
const linksInList = 3

// speaker writes texts about people with the clinic's labels, as of one day.
type speaker struct {
	labels.Labels
	language language.Language
	today    string
	all      bool // the reader may see the whole directory
}

func (p *Pages) speaker(r *http.Request) (speaker, error) {
	l, err := p.Labels.Current(r.Context())
	return speaker{l, language.From(r.Context()), p.Now().Format(time.DateOnly), policy.Allow(page.Subject(r), policy.SeeDirectory) == nil}, err
}

func (s speaker) portalUsers() kind {
	return kind{"/directory/portal-users", *s.PortalUser, *s.Patient, language.Mark("E-mail address"), language.Mark("None"),
		s.language.Text("Type the beginning of a name, e-mail address or id. The name of a linked {patient} works, too.", "patient", page.Lower(s.Patient.One))}
}

func (s speaker) patients() kind {
	return kind{"/directory/patients", *s.Patient, *s.PortalUser, language.Mark("Born"), language.Mark("Not known"),
		s.language.Text("Type the beginning of a name or id.")}
}

func (s speaker) portalUser(u directory.PortalUser) person {
	one := person{ID: u.ID, Name: u.Name, Ticks: true, Href: "/directory/portal-users/" + u.ID, About: u.Email, States: s.accountStates(u.Active)}
	for _, p := range u.Patients {
		l := link{ID: p.ID, Name: p.Name, As: s.as(p.Relationship), States: s.patientStates(p.Status, p.Deceased)}
		if s.all {
			l.Href = "/directory/patients/" + p.ID
		}
		l.Term, l.Over = s.term(p.From, p.Until)
		one.Links = append(one.Links, l)
	}
	return one
}

func (s speaker) patient(p directory.Patient) person {
	one := person{ID: p.ID, Name: p.Name, Href: "/directory/patients/" + p.ID, About: s.day(p.BirthDate), States: s.patientStates(p.Status, p.Deceased)}
	for _, u := range p.PortalUsers {
		l := link{ID: u.ID, Name: u.Name, Href: "/directory/portal-users/" + u.ID, As: s.as(u.Relationship), States: s.accountStates(u.Active)}
		l.Term, l.Over = s.term(u.From, u.Until)
		one.Links = append(one.Links, l)
	}
	return one
}

// brief shortens a long list of links.
func (p person) brief() person {
	if len(p.Links) > linksInList+1 {
		p.More = len(p.Links) - linksInList
		p.Links = p.Links[:linksInList]
	}
	return p
}

func (s speaker) accountStates(active bool) []state {
	if active {
		return []state{{s.language.Text("Active"), "green"}}
	}
	return []state{{s.language.Text("Not active"), "grey"}}
}

func (s speaker) patientStates(status string, deceased bool) []state {
	states := []state{{s.language.Text("Active"), "green"}}
	if status == "discharged" {
		states = []state{{s.Discharged.One, "grey"}}
	}
	if deceased {
		states = append(states, state{s.language.Text("Deceased"), "grey"})
	}
	return states
}

func (s speaker) as(relationship string) string {
	if relationship == directory.Self {
		return s.language.Text("Self")
	}
	return s.AuthorizedRepresentative.One
}

func (s speaker) day(day string) string { return directory.DayText(s.language, day) }

func (s speaker) term(from, until string) (words string, ended bool) {
	return directory.Term(s.language, from, until, s.today)
}

// portalUsers lists portal users.
func (p *Pages) portalUsers(w http.ResponseWriter, r *http.Request) error {
	s, err := p.speaker(r)
	if err != nil {
		return err
	}
	words, _, err := p.Words(r)
	if err != nil {
		return err
	}
	list := people{kind: s.portalUsers(), Query: strings.TrimSpace(words)}
	found, next, err := directory.Search(r.Context(), p.Directory, list.Query, perPage, r.FormValue("cursor"))
	for _, u := range found {
		list.Rows = append(list.Rows, s.portalUser(u).brief())
	}
	return p.renderPeople(w, r, list, next, err)
}

// patients lists patients.
func (p *Pages) patients(w http.ResponseWriter, r *http.Request) error {
	s, err := p.speaker(r)
	if err != nil {
		return err
	}
	words, _, err := p.Words(r)
	if err != nil {
		return err
	}
	list := people{kind: s.patients(), Query: strings.TrimSpace(words)}
	found, next, err := directory.SearchPatients(r.Context(), p.Directory, list.Query, perPage, r.FormValue("cursor"))
	for _, one := range found {
		list.Rows = append(list.Rows, s.patient(one).brief())
	}
	return p.renderPeople(w, r, list, next, err)
}

// renderPeople shows a list. An invalid cursor redirects to the first page.
func (p *Pages) renderPeople(w http.ResponseWriter, r *http.Request, list people, next string, err error) error {
	if errors.Is(err, directory.ErrCursor) {
		return p.Redirect(w, r, address(r, "cursor", ""), "")
	}
	if err != nil {
		return err
	}
	if r.FormValue("cursor") != "" {
		list.First = address(r, "cursor", "")
	}
	if next != "" {
		list.Older = address(r, "cursor", next)
	}
	return p.Render(w, r, set, page.View{Template: "people.html", Title: list.One.Many, Section: section, Data: list})
}

// individual is the data of the page of a portal user or a patient.
type individual struct {
	Kind kind
	person
	Record  string                // address of their page in the record
	List    string                // address of the list, "" if the reader may not open it
	Account *access.PortalAccount // of a portal user, for readers who may see the directory
	Invite  string                // why no link can be sent to them; "" if one can
	Factors string                // the kinds of their second factors, in words
	Open    int                   // number of their open sessions, for readers who may see the directory
	Silent  *time.Time            // since when they get no e-mails about new messages; nil: they get them
	// ByLetter is whether a letter with a code can be made for them.
	ByLetter bool
	Waits    bool // no link goes to the address yet, because it changed
}

// portalUser shows one portal user. Staff who send messages may open it, too.
func (p *Pages) portalUser(w http.ResponseWriter, r *http.Request) error {
	return p.renderPortalUser(w, r, nil)
}

func (p *Pages) renderPortalUser(w http.ResponseWriter, r *http.Request, errs page.Errors) error {
	s, err := p.speaker(r)
	if err != nil {
		return err
	}
	u, err := directory.PortalUserByID(r.Context(), p.Directory, r.PathValue("id"))
	if errors.Is(err, directory.ErrNotFound) {
		return p.NotFound(w, r)
	}
	if err != nil {
		return err
	}
	one := individual{Kind: s.portalUsers(), person: s.portalUser(u), Record: "/record/portal-users/" + u.ID}
	if one.Silent, err = p.OptOuts.SinceByID(r.Context(), u.ID); err != nil {
		return err
	}
	if s.all {
		known, err := p.Gate.PortalAccount(r.Context(), u.ID)
		if err != nil {
			return err
		}
		one.List, one.Account, one.Invite = one.Kind.Path, &known, p.noInviteReason(u, known)
		one.Factors = factorsText(r, known.FactorNames())
		one.ByLetter = u.Active && (u.Email == "" || known.Dead)
		one.Waits = u.Active && u.Email != "" && known.Unconfirmed(p.Now())
		if one.Open, err = p.Gate.OpenSessions(r.Context(), policy.RealmPortalUser, u.ID); err != nil {
			return err
		}
	}
	return p.Render(w, r, set, page.View{Template: "person.html", Title: s.PortalUser.One, Section: section, Data: one, Errors: errs})
}

// noInviteReason says why no link can be sent to a portal user, "" if one can.
func (p *Pages) noInviteReason(u directory.PortalUser, known access.PortalAccount) string {
	switch {
	case !u.Active:
		return language.Mark("No link can be sent: the account is not active, so they can’t sign in. Correct this in the source system and import again.")
	case u.Email == "":
		return language.Mark("No link can be sent: there is no e-mail address. Make a letter with a code, or add an address in the source system and import again.")
	case known.Dead:
		return language.Mark("No link can be sent: the e-mail address does not work, and e-mail to it came back. Correct it in the source system and import again. " +
			"Or use the command `postern portal-user invite` to make a link that you can hand out.")
	case known.Unconfirmed(p.Now()):
		return language.Mark("No link can be sent yet: the e-mail address changed less than a day ago.")
	case !p.Letters.Enabled():
		return language.Mark("No link can be sent: no e-mail service is set up. Use the command `postern portal-user invite` to make a link that you can hand out.")
	}
	return ""
}

// invite sends a portal user the link with which they set a password.
func (p *Pages) invite(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	err := p.Letters.Invite(r.Context(), page.Subject(r), id)
	switch {
	case err == nil:
		return p.Redirect(w, r, "/directory/portal-users/"+id, "The e-mail with the link is on its way. Earlier links no longer work.")
	case errors.Is(err, letter.ErrNotSent):
		return p.renderPortalUser(w, r, page.Errors{{Field: "invite", Message: "The e-mail could not be sent, and earlier links no longer work. Try again in a minute"}})
	case errors.Is(err, access.ErrCrowded):
		return p.renderPortalUser(w, r, page.Errors{{Field: "invite", Message: page.Say(r, err)}})
	case errors.Is(err, access.ErrNoPortalUser), errors.Is(err, access.ErrNoAddress), errors.Is(err, access.ErrDeadAddress), errors.Is(err, access.ErrUnconfirmed), errors.Is(err, letter.ErrOff):
		return p.renderPortalUser(w, r, nil) // the page shows the reason
	}
	return err
}

// patient shows one patient.
func (p *Pages) patient(w http.ResponseWriter, r *http.Request) error {
	s, err := p.speaker(r)
	if err != nil {
		return err
	}
	found, err := directory.PatientByID(r.Context(), p.Directory, r.PathValue("id"))
	if errors.Is(err, directory.ErrNotFound) {
		return p.NotFound(w, r)
	}
	if err != nil {
		return err
	}
	one := individual{Kind: s.patients(), person: s.patient(found), List: "/directory/patients", Record: "/record/patients/" + found.ID}
	return p.Render(w, r, set, page.View{Template: "person.html", Title: s.Patient.One, Section: section, Data: one})
}
