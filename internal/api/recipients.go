package api

import (
	"context"
	"errors"
	"net/http"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/directory"
	"postern/internal/directory/audience"
	"postern/internal/inbound"
	"postern/internal/text/zone"
)

// Recipients are the recipients that a sender chooses.
type Recipients struct {
	PortalUserIDs []string `json:"portal_user_ids,omitempty" doc:"Portal users chosen one by one, at most {Recipients}."`
	Groups        []string `json:"groups,omitempty" doc:"active_patients, discharged_patients, all_portal_users; needs send_bulk_portal_message." example:"[\"active_patients\"]"`
	About         []About  `json:"about,omitempty" doc:"The patients whom the message concerns, for portal users chosen one by one. Without it, the message to a portal user with one patient concerns that patient, and the message to a portal user with several does not state whom it concerns."`
}

// About says whom the message to one portal user concerns.
type About struct {
	PortalUserID string   `json:"portal_user_id" doc:"One of portal_user_ids."`
	PatientIDs   []string `json:"patient_ids" nullable:"false" doc:"Patients to whom the portal user is linked today."`
}

func (r Recipients) selection() audience.Selection {
	s := audience.Selection{PortalUserIDs: r.PortalUserIDs}
	for _, g := range r.Groups {
		s.Groups = append(s.Groups, audience.Group(g))
	}
	for _, a := range r.About {
		s.About = append(s.About, audience.About(a))
	}
	return s
}

// Preview is the audience of a selection, counted.
type Preview struct {
	Count    int            `json:"count" doc:"The number of portal users who would get the message."`
	Digest   string         `json:"digest" doc:"Changes when a portal user joins or leaves the audience. Give it as audience_digest to send to exactly this audience."`
	Included map[string]int `json:"included" doc:"Recipients by the reason why they are included: added, active_patient, discharged_patient, any_portal_user."`
	Excluded map[string]int `json:"excluded" doc:"Portal users left out of a group, by reason: account_inactive, deceased, link_ended, link_not_begun."`
	Warnings map[string]int `json:"warnings" doc:"Recipients who are not alerted, by reason: account_inactive, no_address, opted_out."`
	// WithoutEmail is the count of the warning no_address.
	// Doubts are of portal users chosen one by one.
	Doubts       []Doubt `json:"doubts" nullable:"false" doc:"Portal users chosen one by one who may be other people than you mean. At most 100."`
	WithoutEmail int     `json:"without_email" doc:"Recipients who have no e-mail address. They can't sign in to the portal: send them the message by post."`
}

func previewOf(c audience.Counts) Preview {
	return Preview{Count: c.Count, Digest: c.Digest, Included: c.Included, Excluded: c.Excluded, Warnings: c.Warnings, Doubts: []Doubt{}, WithoutEmail: c.Warnings[string(audience.NoAddress)]}
}

// Doubt is a reason to look again before sending to a portal user.
type Doubt struct {
	PortalUserID string   `json:"portal_user_id"`
	Kind         string   `json:"kind" enum:"same_name,shared_address,minors_address" doc:"same_name: another portal user has this name. shared_address: another has this e-mail address. minors_address: a patient under 18 whose e-mail address is that of a representative."`
	Others       []string `json:"others" nullable:"false" doc:"The names of the other portal users, at most 5."`
}

// mostDoubts is how many doubts a preview has.
const mostDoubts = 100

func doubtsOf(found []directory.Doubt) []Doubt {
	doubts := make([]Doubt, min(len(found), mostDoubts))
	for i := range doubts {
		doubts[i] = Doubt{found[i].PortalUserID, string(found[i].Kind), found[i].Others}
	}
	return doubts
}

// PortalUser is a portal user in the recipient picker.
type PortalUser struct {
	ID       string          `json:"portal_user_id"`
	Name     string          `json:"name"`
	Email    string          `json:"email" doc:"Empty if there is none: no alert is sent, and they can't sign in."`
	Active   bool            `json:"active"`
	Patients []LinkedPatient `json:"patients" nullable:"false" doc:"The patients that the portal user is linked to."`
}

// LinkedPatient is a patient that a portal user is linked to.
type LinkedPatient struct {
	ID           string `json:"patient_id"`
	Name         string `json:"name"`
	Relationship string `json:"relationship" enum:"self,representative"`
	Status       string `json:"status" enum:"active,discharged"`
	Deceased     bool   `json:"deceased"`
	From         string `json:"from" doc:"A date, or empty."`
	Until        string `json:"until" doc:"A date, or empty."`
	BirthDate    string `json:"birth_date" doc:"A date, or empty if it is not known."`
}

func portalUserOf(u directory.PortalUser) PortalUser {
	p := PortalUser{ID: u.ID, Name: u.Name, Email: u.Email, Active: u.Active, Patients: make([]LinkedPatient, len(u.Patients))}
	for i, l := range u.Patients {
		p.Patients[i] = LinkedPatient(l)
	}
	return p
}

type previewInput struct {
	Body struct {
		Recipients Recipients `json:"recipients"`
	}
}

type searchInput struct {
	Page
	Q string `query:"q" maxLength:"200" doc:"The beginnings of the words of a name, or the beginning of an e-mail address or an id."`
}

// RecipientOperations preview an audience and search for portal users.
type RecipientOperations struct {
	Composer  *compose.Composer
	Directory directory.Querier
}

func (g RecipientOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodPost, path: "/v1/recipients/preview", id: "preview-recipients", tag: forStaff,
		takes:   inbound.Body{MaxBytes: 1 << 20, Memory: 4 << 20},
		summary: "Count an audience exactly, with the reasons why portal users are included or left out.",
		actions: []policy.Action{policy.SendMessage}, problems: []int{http.StatusUnprocessableEntity},
	}, func(ctx context.Context, in *previewInput) (*body[Preview], error) {
		counts, err := g.Composer.Preview(ctx, subjectOf(ctx), in.Body.Recipients.selection())
		if err != nil {
			return nil, err
		}
		doubts, err := directory.Doubts(ctx, g.Directory, in.Body.Recipients.PortalUserIDs, zone.Now())
		if err != nil {
			return nil, err
		}
		preview := previewOf(counts)
		preview.Doubts = doubtsOf(doubts)
		return answerWith(preview), nil
	})
	handle(a, operation{
		method: http.MethodGet, path: "/v1/portal-users", id: "search-portal-users", tag: forStaff,
		summary: "Find portal users.", actions: []policy.Action{policy.SendMessage, policy.SeeDirectory},
	}, g.searchPortalUsers)
	g.patients(a)
}

func (g RecipientOperations) searchPortalUsers(ctx context.Context, in *searchInput) (*body[List[PortalUser]], error) {
	found, next, err := directory.Search(ctx, g.Directory, in.Q, in.Limit, in.Cursor)
	if errors.Is(err, directory.ErrCursor) {
		return nil, errCursor
	}
	if err != nil {
		return nil, err
	}
	list := List[PortalUser]{Items: make([]PortalUser, len(found))}
	for i, u := range found {
		list.Items[i] = portalUserOf(u)
	}
	if next != "" {
		list.NextCursor = &next
	}
	return answerWith(list), nil
}

// body is a JSON answer.
type body[T any] struct{ Body T }

func answerWith[T any](v T) *body[T] { return &body[T]{Body: v} }
