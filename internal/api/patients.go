package api

import (
	"context"
	"errors"
	"net/http"

	"postern/internal/access/policy"
	"postern/internal/directory"
)

// Patient is a patient of the directory.
type Patient struct {
	ID          string             `json:"patient_id"`
	Name        string             `json:"name" doc:"The name of the patient."`
	BirthDate   string             `json:"birth_date" example:"1980-04-03" doc:"A date; empty if it is not known."`
	Status      string             `json:"status" enum:"active,discharged" doc:"Whether the patient receives services now."`
	Deceased    bool               `json:"deceased"`
	PortalUsers []LinkedPortalUser `json:"portal_users" nullable:"false" doc:"The portal users that are linked to the patient, also by links that have ended or not begun."`
}

// LinkedPortalUser is a portal user that is linked to a patient.
type LinkedPortalUser struct {
	ID           string `json:"portal_user_id"`
	Name         string `json:"name" doc:"The name of the portal user."`
	Relationship string `json:"relationship" enum:"self,representative" doc:"self: the portal user is the patient. representative: the portal user represents the patient."`
	Active       bool   `json:"active"`
	From         string `json:"from" example:"2026-01-15" doc:"A date, or empty."`
	Until        string `json:"until" example:"2026-12-31" doc:"A date, or empty."`
}

func patientOf(p directory.Patient) Patient {
	out := Patient{ID: p.ID, Name: p.Name, BirthDate: p.BirthDate, Status: p.Status, Deceased: p.Deceased,
		PortalUsers: make([]LinkedPortalUser, len(p.PortalUsers))}
	for i, u := range p.PortalUsers {
		out.PortalUsers[i] = LinkedPortalUser(u)
	}
	return out
}

type searchPatientsInput struct {
	Page
	Q string `query:"q" maxLength:"200" doc:"The beginnings of the words of a name, or the beginning of an id."`
}

// patients registers the search for patients.
func (g RecipientOperations) patients(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/patients", id: "search-patients", tag: forStaff,
		summary: "Find patients, with the portal users that are linked to each.", actions: []policy.Action{policy.SeeDirectory},
	}, func(ctx context.Context, in *searchPatientsInput) (*body[List[Patient]], error) {
		found, next, err := directory.SearchPatients(ctx, g.Directory, in.Q, in.Limit, in.Cursor)
		if errors.Is(err, directory.ErrCursor) {
			return nil, errCursor
		}
		if err != nil {
			return nil, err
		}
		l := List[Patient]{Items: make([]Patient, len(found))}
		for i, p := range found {
			l.Items[i] = patientOf(p)
		}
		if next != "" {
			l.NextCursor = &next
		}
		return answerWith(l), nil
	})
}
