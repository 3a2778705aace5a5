package receipt

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"postern/internal/content/attachment"
	"postern/internal/events"
	"postern/internal/labels"
	"postern/internal/limits"
	"postern/internal/messages"
	"postern/internal/problem"
	"postern/internal/proof/receipt/issuer"
	"postern/internal/record/bundle"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// disclosing is the form that hands the evidence of a delivery over.
type disclosing struct {
	bundle.Request
	Bases []basis
}

// basis is a ground of a disclosure, in the clinic's words.
type basis struct {
	Value events.DisclosureBasis
	Text  string
}

// bases are the grounds in the order of the form.
func bases(r *http.Request, l labels.Labels) (all []basis) {
	for _, b := range []events.DisclosureBasis{events.ToOther, events.ToPatient, events.ByAuthorization, events.ForOperations} {
		all = append(all, basis{b, l.Fill(page.T(r, bundle.Bases[b]))})
	}
	return all
}

// request reads the delivery of the address, and who asks.
func (p *Pages) request(r *http.Request) (bundle.Request, error) {
	id, err := uuid.Parse(r.PathValue("message"))
	if err != nil {
		return bundle.Request{}, issuer.ErrNotFound
	}
	subject := page.Subject(r)
	m, err := p.Messages.Visible(r.Context(), subject, id)
	if err != nil {
		return bundle.Request{}, err
	}
	return bundle.Request{MessageID: id, PortalUserID: r.PathValue("portal_user"), Actor: subject.Actor(), MayRead: m.Role != messages.RoleNone}, nil
}

func (p *Pages) disclose(w http.ResponseWriter, r *http.Request) error {
	q, err := p.request(r)
	if err != nil {
		return err
	}
	return p.showDisclose(w, r, q, nil, 0)
}

func (p *Pages) showDisclose(w http.ResponseWriter, r *http.Request, q bundle.Request, errs page.Errors, status int) error {
	l, err := p.Labels.Current(r.Context())
	if err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "disclose.html", Title: "Hand over the evidence", Section: "record",
		Data: disclosing{q, bases(r, l)}, Errors: errs, Status: status})
}

// messagesOf are the faults of the form in words.
var messagesOf = map[string]string{
	"to":      language.Mark("Enter the name of the person or organization that gets it"),
	"purpose": language.Mark("Enter why it is disclosed"),
	"basis":   language.Mark("Choose the ground of the disclosure"),
}

// wrongField returns a fault of the form in words.
func wrongField(r *http.Request, f problem.Fault) page.Error {
	field := strings.TrimPrefix(f.Location, "body.")
	most := limits.Reason
	if field == "to" {
		most = limits.StaffName
	}
	message := messagesOf[field]
	if n := utf8.RuneCountInString(r.PostFormValue(field)); n > int(most) {
		message = page.T(r, "This text has {n} characters; at most {most} are allowed", "n", strconv.Itoa(n), "most", strconv.Itoa(int(most)))
	} else if message == "" || strings.Contains(f.Message, "characters") {
		message = "This text " + f.Message
	}
	return page.Error{Field: field, Message: message}
}

// What else can be wrong with a text.
var _ = language.Mark("This text has characters that are not text")

// disclosed answers with the bundle as a file to save.
func (p *Pages) disclosed(w http.ResponseWriter, r *http.Request) error {
	q, err := p.request(r)
	if err != nil {
		return err
	}
	q.To, q.Address, q.Purpose = r.PostFormValue("to"), r.PostFormValue("address"), r.PostFormValue("purpose")
	q.Basis, q.Content = events.DisclosureBasis(r.PostFormValue("basis")), r.PostFormValue("content") == "yes"
	made, err := p.Bundles.HandOver(r.Context(), q)
	var wrong *problem.Error
	switch {
	case errors.Is(err, bundle.ErrContent):
		return p.showDisclose(w, r, q, page.Errors{{Field: "content", Message: page.Say(r, err)}}, http.StatusForbidden)
	case errors.As(err, &wrong) && wrong.Kind == problem.InvalidRequest:
		var errs page.Errors
		for _, f := range wrong.Faults {
			errs = append(errs, wrongField(r, f))
		}
		return p.showDisclose(w, r, q, errs, 0)
	case err != nil:
		return err
	}
	p.Await(r.Context(), made.Seq)
	attachment.Describe(w.Header().Set, made.Name, "application/zip", len(made.Data))
	_, _ = w.Write(made.Data) // an error means that the client has gone
	return nil
}
