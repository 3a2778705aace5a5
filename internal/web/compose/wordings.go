package compose

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose/draft"
	"postern/internal/compose/wording"
	"postern/internal/content/fields"
	"postern/internal/limits"
	"postern/internal/problem"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

const wordingsAt = "/messages/wordings"

func wordingAt(id uuid.UUID) string { return wordingsAt + "/" + id.String() }

// wordings lists the reader's own wordings and the clinic's.
func (p *Pages) wordings(w http.ResponseWriter, r *http.Request) error {
	all, err := p.Wordings.List(r.Context(), page.Subject(r))
	if err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "wordings.html", Title: "Wordings", Section: "messages", Data: all})
}

// wordingForm is the data of the page of a wording.
type wordingForm struct {
	wording.Wording
	At     string // the address of the form
	Fields []fields.Field
	// MayPublish and MayChange are what the reader may do with it.
	MayPublish, MayChange bool
}

// newWording shows an empty form, or one with the text of a draft.
func (p *Pages) newWording(w http.ResponseWriter, r *http.Request) error {
	form := wordingForm{At: wordingsAt}
	if id, err := uuid.Parse(r.FormValue("draft")); err == nil {
		d, err := p.Drafts.Open(r.Context(), page.Subject(r), id)
		if err != nil && !errors.Is(err, draft.ErrNotFound) { // a draft that is not saved yet
			return err
		}
		form.Text = wording.Text{Name: d.Subject, Subject: d.Subject, Body: d.Body}
	}
	return p.renderWording(w, r, form, nil)
}

func (p *Pages) wording(w http.ResponseWriter, r *http.Request) error {
	one, err := p.openWording(r)
	if err != nil {
		return err
	}
	return p.renderWording(w, r, wordingForm{Wording: one, At: wordingAt(one.ID)}, nil)
}

func (p *Pages) openWording(r *http.Request) (wording.Wording, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return wording.Wording{}, wording.ErrNotFound
	}
	return p.Wordings.Get(r.Context(), page.Subject(r), id)
}

func (p *Pages) renderWording(w http.ResponseWriter, r *http.Request, form wordingForm, errs page.Errors) error {
	form.Fields = fields.All
	form.MayPublish = policy.Allow(page.Subject(r), policy.PublishWordings) == nil
	form.MayChange = form.ID == uuid.Nil || form.MayPublish || !form.Published
	title := language.Mark("New wording")
	if form.ID != uuid.Nil {
		title = language.Mark("Wording")
	}
	return p.Render(w, r, set, page.View{Template: "wording.html", Title: title, Section: "messages", Data: form, Errors: errs})
}

// addWording saves a new wording, and changeWording one that exists.
func (p *Pages) addWording(w http.ResponseWriter, r *http.Request) error {
	return p.saveWording(w, r, wordingForm{At: wordingsAt}, func(text wording.Text, published bool) error {
		_, err := p.Wordings.Add(r.Context(), page.Subject(r), text, published)
		return err
	})
}

func (p *Pages) changeWording(w http.ResponseWriter, r *http.Request) error {
	one, err := p.openWording(r)
	if err != nil {
		return err
	}
	return p.saveWording(w, r, wordingForm{Wording: one, At: wordingAt(one.ID)}, func(text wording.Text, published bool) error {
		_, err := p.Wordings.Change(r.Context(), page.Subject(r), one.ID, versionOf(r), text, published)
		return err
	})
}

func versionOf(r *http.Request) int {
	n, _ := strconv.Atoi(r.PostFormValue("version")) // 0 is no version: it is refused as changed
	return n
}

func (p *Pages) saveWording(w http.ResponseWriter, r *http.Request, form wordingForm, save func(wording.Text, bool) error) error {
	form.Text = wording.Text{Name: strings.TrimSpace(r.PostFormValue("name")), Subject: strings.TrimSpace(r.PostFormValue("subject")),
		Body: strings.ReplaceAll(r.PostFormValue("body"), "\r\n", "\n")}
	published := r.PostFormValue("published") != ""
	var errs page.Errors
	for _, fault := range form.Faults() {
		errs = append(errs, wordingError(r, fault))
	}
	if len(errs) == 0 {
		err := save(form.Text, published)
		switch {
		case err == nil:
			return p.Redirect(w, r, wordingsAt, "The wording was saved.")
		case errors.Is(err, wording.ErrTooMany), errors.Is(err, wording.ErrChanged):
			errs = notSaved(r, err)
		default:
			return err
		}
	}
	form.Published = published
	return p.renderWording(w, r, form, errs)
}

var wordingField = map[string]string{"name": language.Mark("Name"), "subject": language.Mark("Subject"), "body": language.Mark("Message")}

// wordingRules are those for the faults of a wording.
var wordingRules = []rule{
	{fault: isMissing, text: language.Mark("{field} is required and can’t be blank")},
	{fault: regexp.MustCompile(`^must have at most (?P<most>\S+) characters`), text: language.Mark("{field} must have at most {most} characters")},
	{fault: isAny, text: language.Mark("{field} {fault}")},
}

// wordingError is a fault of a wording as an error of the page.
func wordingError(r *http.Request, fault problem.Fault) page.Error {
	found, values := find(wordingRules, fault)
	return page.Error{Field: fault.Location, Message: page.T(r, found.text, append(values, "field", page.T(r, wordingField[fault.Location]))...)}
}

// notSaved says why a wording can't be saved or deleted now.
func notSaved(r *http.Request, err error) page.Errors {
	if errors.Is(err, wording.ErrTooMany) {
		return page.Errors{{Field: "name", Message: page.T(r, "You have {count} wordings already: delete one that you don’t need.", "count", int(limits.Wordings))}}
	}
	return page.Errors{{Field: "name", Message: page.Say(r, err)}}
}

func (p *Pages) deleteWording(w http.ResponseWriter, r *http.Request) error {
	one, err := p.openWording(r)
	if err != nil {
		return err
	}
	switch err := p.Wordings.Delete(r.Context(), page.Subject(r), one.ID, versionOf(r)); {
	case errors.Is(err, wording.ErrChanged):
		return p.renderWording(w, r, wordingForm{Wording: one, At: wordingAt(one.ID)}, notSaved(r, err))
	case err != nil:
		return err
	}
	return p.Redirect(w, r, wordingsAt, "The wording was deleted.")
}

// use puts a wording into a draft: the subject where there is none, and the text below what is
// there.
func use(text wording.Text, c *draft.Content) {
	if strings.TrimSpace(c.Subject) == "" {
		c.Subject = text.Subject
	}
	if c.Body = strings.TrimRight(c.Body, "\n "); c.Body != "" {
		c.Body += "\n\n"
	}
	c.Body += text.Body
}

// filledIn is how the fields of a draft read, and what is wrong with them.
type filledIn struct {
	For     string   // the name of a recipient for whom they are filled in; "" if the draft has no fields
	Unknown []string // in braces, but no fields
	Missing []string // fields without a value
}

// fillIn fills in the fields of a draft as its first recipient reads them.
func (p *Pages) fillIn(r *http.Request, c *checking) error {
	text := c.Subject + "\n" + c.Body
	c.Filled.Unknown = fields.Unknown(text)
	has := fields.In(text)
	if len(has) == 0 {
		return nil
	}
	face, err := p.Clinic.Face(r.Context())
	if err != nil {
		return err
	}
	v := fields.Values{Recipient: page.T(r, "the recipient"), Clinic: face.Name, Telephone: face.Telephone}
	if len(c.First) > 0 {
		v.Recipient = c.First[0].Name
	}
	c.Filled.For = v.Recipient
	for _, f := range has {
		if !f.Known(v) {
			c.Filled.Missing = append(c.Filled.Missing, f.Token())
		}
	}
	c.Subject, c.Body = fields.Fill(c.Subject, v), fields.Fill(c.Body, v)
	return nil
}
