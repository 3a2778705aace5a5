package record

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/access/twopeople"
	"postern/internal/content/attachment"
	"postern/internal/content/message"
	"postern/internal/events"
	"postern/internal/record/emergency"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// emergencyRoutes are the addresses of emergency access. A page that shows content, a document or
// disclosures records that first.
func (p *Pages) emergencyRoutes() []page.Route {
	route := func(pattern string, handle page.Handler, actions ...policy.Action) page.Route {
		return page.Route{Pattern: pattern, Realm: policy.RealmStaff, Actions: actions, Handle: handle}
	}
	return []page.Route{
		route("GET /emergency", p.emergencies, policy.OpenEmergency, policy.ReviewEmergency),
		route("POST /emergency", p.openEmergency, policy.OpenEmergency),
		route("GET /emergency/{id}", p.emergency, policy.OpenEmergency, policy.ReviewEmergency),
		route("GET /emergency/{id}/read", notHead(p.readEmergency), policy.OpenEmergency),
		route("GET /emergency/{id}/documents/{document}", notHead(p.readDocument), policy.OpenEmergency),
		route("POST /emergency/{id}/end", p.endEmergency, policy.OpenEmergency, policy.ReviewEmergency),
		route("POST /emergency/{id}/review", p.reviewEmergency, policy.ReviewEmergency),
	}
}

// emergencies is the data of the worklist, with the form to open emergency access.
type emergencies struct {
	Form       opening
	Reviews    bool // the reader reviews the openings of others
	Waiting    []used
	Latest     []used // all of them for reviewers, else the reader's own
	Older      string
	FromNewest bool
}

// opening is the form to open emergency access, as typed.
type opening struct{ Message, Patient, Reason string }

// used is an opening with the names of the people in it.
type used struct {
	emergency.Opening
	By, Ended, Reviewed string
	Own                 bool
}

// Words returns the state in words.
func (u used) Words() string {
	return map[emergency.State]string{emergency.Open: language.Mark("Open"), emergency.Ended: language.Mark("To be reviewed"), emergency.Reviewed: language.Mark("Reviewed")}[u.State]
}

// Colour returns the colour of its tag.
func (u used) Colour() string {
	return map[emergency.State]string{emergency.Open: "red", emergency.Ended: "orange", emergency.Reviewed: "green"}[u.State]
}

// Patient is the patient's id, "" for a message.
func (u used) Patient() string {
	if u.PatientID == nil {
		return ""
	}
	return *u.PatientID
}

func (p *Pages) used(r *http.Request, found []emergency.Opening) (all []used, err error) {
	var actors []string
	for _, o := range found {
		actors = append(actors, o.Actor())
		for _, actor := range []*string{o.EndedBy, o.ReviewedBy} {
			if actor != nil {
				actors = append(actors, *actor)
			}
		}
	}
	names, err := p.actors(r.Context(), actors)
	if err != nil {
		return nil, err
	}
	for _, o := range found {
		u := used{Opening: o, By: names[o.Actor()], Own: o.StaffID == page.Subject(r).ID}
		if o.EndedBy != nil {
			u.Ended = names[*o.EndedBy]
		}
		if o.ReviewedBy != nil {
			u.Reviewed = names[*o.ReviewedBy]
		}
		all = append(all, u)
	}
	return all, nil
}

// emergencyPlace returns the section of these pages in the navigation.
func emergencyPlace(r *http.Request) string {
	if emergency.Reviews(page.Subject(r)) {
		return section
	}
	return "messages"
}

func (p *Pages) emergencies(w http.ResponseWriter, r *http.Request) error {
	return p.showEmergencies(w, r, opening{Message: r.FormValue("message"), Patient: r.FormValue("patient")}, nil)
}

func (p *Pages) showEmergencies(w http.ResponseWriter, r *http.Request, form opening, errs page.Errors) error {
	before, err := strconv.ParseUint("0"+r.FormValue("before"), 10, 63)
	if err != nil {
		return p.Redirect(w, r, "/emergency", "")
	}
	me := page.Subject(r)
	data := emergencies{Form: form, Reviews: emergency.Reviews(me), FromNewest: before == 0}
	whose := me.ID
	if data.Reviews {
		whose = ""
		waiting, err := p.Emergencies.Unreviewed(r.Context())
		if err != nil {
			return err
		}
		if data.Waiting, err = p.used(r, waiting); err != nil {
			return err
		}
	}
	latest, err := p.Emergencies.List(r.Context(), whose, before, perPage+1)
	if err != nil {
		return err
	}
	if len(latest) > perPage {
		latest = latest[:perPage]
		data.Older = address("/emergency", "before", strconv.FormatUint(latest[perPage-1].Seq, 10))
	}
	if data.Latest, err = p.used(r, latest); err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "emergencies.html", Title: "Emergency access", Section: emergencyPlace(r), Data: data, Errors: errs})
}

// onOneLine returns what was typed into a box of several lines as the record has reasons: on one line.
func onOneLine(typed string) string {
	return strings.Join(strings.FieldsFunc(typed, func(r rune) bool { return r == '\r' || r == '\n' }), " ")
}

func (p *Pages) openEmergency(w http.ResponseWriter, r *http.Request) error {
	form := opening{strings.TrimSpace(r.PostFormValue("message")), strings.TrimSpace(r.PostFormValue("patient")), onOneLine(r.PostFormValue("reason"))}
	of := emergency.Of{PatientID: form.Patient}
	var errs page.Errors
	var err error
	switch {
	case (form.Message == "") == (form.Patient == ""):
		errs = append(errs, page.Error{Field: "message", Message: "Enter the id of a message, or the id of a person, and not both"})
	case form.Message != "":
		if of.MessageID, err = uuid.Parse(form.Message); err != nil {
			errs = append(errs, page.Error{Field: "message", Message: "Enter the id of a message. It is in the address of the message’s page"})
		}
	}
	errs = append(errs, wrongText(r, "reason", "The text", language.Mark("Enter why you need it now"), form.Reason)...)
	if len(errs) > 0 {
		return p.showEmergencies(w, r, form, errs)
	}
	o, err := p.Emergencies.Open(r.Context(), page.Subject(r), of, form.Reason)
	switch {
	case errors.Is(err, message.ErrNotFound):
		return p.showEmergencies(w, r, form, page.Errors{{Field: "message", Message: "There is no message with this id"}})
	case errors.Is(err, emergency.ErrNoPatient):
		return p.showEmergencies(w, r, form, page.Errors{{Field: "patient", Message: "There is no one with this id"}})
	case err != nil:
		return err
	}
	return p.Redirect(w, r, "/emergency/"+o.ID.String(), "You opened emergency access. This is recorded with your name, and another person will review it.")
}

// emergencyShown is the data of the page of one opening.
type emergencyShown struct {
	used
	Reads []emergency.Reading
	Note  string // as typed
	Mine  bool   // the reader can use it
	// MayReview is set if the reader reviews, and it is not their own.
	MayReview bool
}

// ReadWords says what was shown.
func (emergencyShown) ReadWords(what events.EmergencyWhat) string {
	return map[events.EmergencyWhat]string{events.ReadContent: language.Mark("The content of the message"), events.ReadDocument: language.Mark("A document"),
		events.ReadDisclosures: language.Mark("Disclosures")}[what]
}

func (p *Pages) emergency(w http.ResponseWriter, r *http.Request) error {
	return p.showEmergency(w, r, "", nil, 0)
}

func (p *Pages) showEmergency(w http.ResponseWriter, r *http.Request, note string, errs page.Errors, status int) error {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return p.NotFound(w, r)
	}
	me := page.Subject(r)
	o, err := p.Emergencies.Visible(r.Context(), me, id)
	if err != nil {
		return err
	}
	named, err := p.used(r, []emergency.Opening{o})
	if err != nil {
		return err
	}
	data := emergencyShown{used: named[0], Note: note}
	data.Mine = data.Own && o.State == emergency.Open && policy.Allow(me, policy.OpenEmergency) == nil
	data.MayReview = !data.Own && emergency.Reviews(me)
	if data.Reads, err = p.Emergencies.Readings(r.Context(), id); err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "emergency.html", Title: "Emergency access", Section: emergencyPlace(r), Data: data, Errors: errs, Status: status})
}

// emergencyRead is the data of the page that shows what was opened.
type emergencyRead struct {
	Opening   emergency.Opening
	Header    message.Header
	Body      string
	Gone      string // why no content is shown; "" if it is
	Disclosed []disclosure
	Older     string
}

func (p *Pages) readEmergency(w http.ResponseWriter, r *http.Request) error {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return p.NotFound(w, r)
	}
	me := page.Subject(r)
	before, errs := disclosurePlace(r.FormValue("before"))
	if len(errs) > 0 {
		return p.Redirect(w, r, "/emergency/"+id.String(), "")
	}
	o, err := p.Emergencies.Visible(r.Context(), me, id)
	if err != nil {
		return err
	}
	data := emergencyRead{Opening: o}
	if o.MessageID != nil {
		data.Header, data.Body, err = p.Emergencies.Content(r.Context(), me, id)
		switch {
		case errors.Is(err, message.ErrErased):
			data.Gone, err = page.T(r, "The content of this message was erased. No one can read it."), nil
		case errors.Is(err, message.ErrMissing):
			data.Gone, err = page.T(r, "The content of this message can’t be read, although it was not erased."), nil
		}
	} else {
		found, more, failed := p.Emergencies.Disclosures(r.Context(), me, id, before, perPage)
		if err = failed; err == nil {
			data.Disclosed, err = p.described(r, found)
		}
		if more {
			last := found[len(found)-1].Cursor()
			data.Older = address("/emergency/"+id.String()+"/read", "before", last.MessageID.String()+"."+strconv.Itoa(int(last.PortalUserNo)))
		}
	}
	if errors.Is(err, emergency.ErrOver) {
		return p.showEmergency(w, r, "", page.Errors{{Field: "state", Message: page.Say(r, err)}}, http.StatusConflict)
	}
	if err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "emergency_read.html", Title: "Read by emergency access", Section: emergencyPlace(r), Data: data})
}

func (p *Pages) readDocument(w http.ResponseWriter, r *http.Request) error {
	id, err1 := uuid.Parse(r.PathValue("id"))
	document, err2 := uuid.Parse(r.PathValue("document"))
	if err1 != nil || err2 != nil {
		return p.NotFound(w, r)
	}
	a, content, err := p.Emergencies.Document(r.Context(), page.Subject(r), id, document)
	if err != nil {
		return err
	}
	attachment.Describe(w.Header().Set, a.Name, a.MediaType, len(content))
	_, _ = w.Write(content) // an error means that the client has gone
	return nil
}

func (p *Pages) endEmergency(w http.ResponseWriter, r *http.Request) error {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return p.NotFound(w, r)
	}
	if _, err := p.Emergencies.End(r.Context(), page.Subject(r), id); err != nil {
		return err
	}
	return p.Redirect(w, r, "/emergency/"+id.String(), "The emergency access has ended. Nothing more can be read by it.")
}

func (p *Pages) reviewEmergency(w http.ResponseWriter, r *http.Request) error {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return p.NotFound(w, r)
	}
	note := onOneLine(r.PostFormValue("note"))
	if errs := wrongText(r, "note", "The text", language.Mark("Enter what you found"), note); len(errs) > 0 {
		return p.showEmergency(w, r, note, errs, 0)
	}
	_, err = p.Emergencies.Review(r.Context(), page.Subject(r), id, note)
	switch {
	case errors.As(err, new(twopeople.NotTwo)):
		return p.showEmergency(w, r, note, page.Errors{{Field: "state", Message: page.Say(r, err)}}, http.StatusForbidden)
	case errors.Is(err, emergency.ErrOpen), errors.Is(err, emergency.ErrReviewed):
		return p.showEmergency(w, r, note, page.Errors{{Field: "state", Message: page.Say(r, err)}}, http.StatusConflict)
	case err != nil:
		return err
	}
	return p.Redirect(w, r, "/emergency/"+id.String(), "Reviewed. This is recorded with your name.")
}
