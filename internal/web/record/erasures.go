package record

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/access/twopeople"
	"postern/internal/content/message"
	"postern/internal/record/retention"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// erasures is the data of the list of erasures.
type erasures struct {
	Years int
	Rows  []erasure

	Newest, Older string
}

// erasure is an erasure with the names of the staff who requested and settled it.
type erasure struct {
	retention.Erasure
	AskedBy, Settled string
	Own              bool      // the reader requested it
	KeptUntil        time.Time // by the retention set today
	Early            bool      // before KeptUntil, now or when it was erased
	Message          bool      // the reader may open the message
}

// Words returns the state in words.
func (e erasure) Words() string {
	return map[string]string{"requested": language.Mark("Waiting for approval"), "erased": language.Mark("Erased"), "withdrawn": language.Mark("Withdrawn")}[e.Status]
}

// Colour returns the colour of its tag.
func (e erasure) Colour() string {
	return map[string]string{"requested": "yellow", "erased": "red", "withdrawn": "grey"}[e.Status]
}

// place returns the section of these pages in the navigation: the record for its
// readers, and administration for others.
func place(r *http.Request) string {
	if policy.Allow(page.Subject(r), policy.ReadTheRecord) == nil {
		return section
	}
	return "administration"
}

func (p *Pages) erasures(w http.ResponseWriter, r *http.Request) error {
	before, err := strconv.ParseUint("0"+r.FormValue("before"), 10, 63)
	if err != nil {
		return p.Redirect(w, r, "/record/erasures", "")
	}
	found, err := p.Retention.List(r.Context(), before, perPage+1)
	if err != nil {
		return err
	}
	data := erasures{}
	if before > 0 {
		data.Newest = "/record/erasures"
	}
	if len(found) > perPage {
		found = found[:perPage]
		data.Older = address("/record/erasures", "before", strconv.FormatUint(found[perPage-1].Seq, 10))
	}
	if data.Rows, data.Years, err = p.withNames(r, found); err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "erasures.html", Title: "Erasures", Section: place(r), Data: data})
}

// withNames adds names, and the end of the retention, to erasures.
func (p *Pages) withNames(r *http.Request, found []retention.Erasure) (told []erasure, years int, err error) {
	if years, _, err = p.Retention.Years(r.Context()); err != nil {
		return nil, 0, err
	}
	var actors []string
	for _, e := range found {
		actors = append(actors, e.RequestedBy)
		if e.SettledBy != nil {
			actors = append(actors, *e.SettledBy)
		}
	}
	names, err := p.actors(r.Context(), actors)
	if err != nil {
		return nil, 0, err
	}
	me := page.Subject(r)
	for _, e := range found {
		t := erasure{Erasure: e, AskedBy: names[e.RequestedBy], Own: e.RequestedBy == me.Actor(), KeptUntil: e.KeptUntil(years), Early: e.Early}
		if e.SettledBy != nil {
			t.Settled = names[*e.SettledBy]
		}
		if e.Status == "requested" {
			t.Early = p.Now().Before(t.KeptUntil)
		}
		_, unseen := p.Messages.Visible(r.Context(), me, e.MessageID)
		t.Message = unseen == nil
		told = append(told, t)
	}
	return told, years, nil
}

func (p *Pages) erasure(w http.ResponseWriter, r *http.Request) error {
	return p.showErasure(w, r, nil, 0)
}

func (p *Pages) showErasure(w http.ResponseWriter, r *http.Request, errs page.Errors, status int) error {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return p.NotFound(w, r)
	}
	e, err := p.Retention.Find(r.Context(), id)
	if err != nil {
		return err
	}
	told, _, err := p.withNames(r, []retention.Erasure{e})
	if err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "erasure.html", Title: "Erasure", Section: place(r), Data: told[0], Errors: errs, Status: status})
}

// asking is the form to request an erasure.
type asking struct {
	Message, Reason string
}

func (p *Pages) newErasure(w http.ResponseWriter, r *http.Request) error {
	return p.showAsking(w, r, asking{Message: r.FormValue("message")}, nil, 0)
}

func (p *Pages) showAsking(w http.ResponseWriter, r *http.Request, a asking, errs page.Errors, status int) error {
	return p.Render(w, r, set, page.View{Template: "ask.html", Title: "Request an erasure", Section: place(r), Data: a, Errors: errs, Status: status})
}

func (p *Pages) ask(w http.ResponseWriter, r *http.Request) error {
	a := asking{Message: strings.TrimSpace(r.PostFormValue("message")), Reason: r.PostFormValue("reason")}
	id, err := uuid.Parse(a.Message)
	var errs page.Errors
	if err != nil {
		errs = append(errs, page.Error{Field: "message", Message: "Enter the id of a message. It is in the address of the message’s page"})
	}
	errs = append(errs, wrongText(r, "reason", "The reason", language.Mark("Enter why the content must be erased"), a.Reason)...)
	if len(errs) > 0 {
		return p.showAsking(w, r, a, errs, 0)
	}
	e, err := p.Retention.Request(r.Context(), page.Subject(r).Actor(), id, a.Reason)
	switch {
	case errors.Is(err, message.ErrNotFound):
		return p.showAsking(w, r, a, page.Errors{{Field: "message", Message: "There is no message with this id"}}, 0)
	case errors.Is(err, retention.ErrGoingOut), errors.Is(err, retention.ErrAsked):
		return p.showAsking(w, r, a, page.Errors{{Field: "message", Message: page.Say(r, err)}}, http.StatusConflict)
	case err != nil:
		return err
	}
	return p.Redirect(w, r, "/record/erasures/"+e.ID.String(), "You requested the erasure. Nothing is erased until another staff member with the permission Erase Content approves.")
}

func (p *Pages) approve(w http.ResponseWriter, r *http.Request) error {
	return p.settle(w, r, language.Mark("The content was erased. No one can read it any more."), func(id uuid.UUID) error {
		_, err := p.Retention.Approve(r.Context(), page.Subject(r), id)
		return err
	})
}

func (p *Pages) withdraw(w http.ResponseWriter, r *http.Request) error {
	return p.settle(w, r, language.Mark("The request was withdrawn. Nothing was erased."), func(id uuid.UUID) error {
		_, err := p.Retention.Withdraw(r.Context(), page.Subject(r).Actor(), id)
		return err
	})
}

// settle approves or withdraws a request, and shows the result.
func (p *Pages) settle(w http.ResponseWriter, r *http.Request, done string, settle func(uuid.UUID) error) error {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return p.NotFound(w, r)
	}
	err = settle(id)
	for refused, status := range map[error]int{retention.ErrOwn: http.StatusForbidden, retention.ErrTooNew: http.StatusForbidden, retention.ErrSettled: http.StatusConflict} {
		if errors.Is(err, refused) {
			return p.showErasure(w, r, page.Errors{{Field: "state", Message: page.Say(r, refused)}}, status)
		}
	}
	if notTwo := (twopeople.NotTwo{}); errors.As(err, &notTwo) {
		return p.showErasure(w, r, page.Errors{{Field: "state", Message: page.Say(r, notTwo)}}, http.StatusForbidden)
	}
	if err != nil {
		return err
	}
	return p.Redirect(w, r, "/record/erasures/"+id.String(), done)
}
