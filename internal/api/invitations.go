package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/access/letter"
	"postern/internal/access/policy"
)

// Invitations are a run of invitations and how far it is.
type Invitations struct {
	ID        uuid.UUID      `json:"id"`
	Status    string         `json:"status" enum:"running,finished,cancelled"`
	People    int            `json:"people"`
	StartedBy string         `json:"started_by" doc:"An actor: staff:<id> or operator:<name>."`
	StartedAt time.Time      `json:"started_at"`
	EndedAt   *time.Time     `json:"ended_at"`
	Waiting   int            `json:"waiting" doc:"Of a cancelled run: people who got none."`
	Sent      int            `json:"sent"`
	Failed    int            `json:"failed"`
	Unknown   int            `json:"unknown" doc:"A crash or a lost answer left open whether the e-mail was sent. It is not sent again."`
	Skipped   map[string]int `json:"skipped" doc:"By reason: inactive, has_account, no_address, address_dead, invited_lately, crowded, address_unconfirmed."`
}

func invitationsOf(r access.InvitationRun) Invitations {
	out := Invitations{r.ID, r.Status, r.People, r.StartedBy, r.StartedAt.UTC(), r.EndedAt, r.Waiting, r.Sent, r.Failed, r.Unknown, r.Skipped}
	if r.EndedAt != nil {
		at := r.EndedAt.UTC()
		out.EndedAt = &at
	}
	return out
}

type startInvitations struct {
	Body struct {
		PortalUserIDs     []string `json:"portal_user_ids,omitempty" doc:"1 to 1000 portal users."`
		AllWithoutAccount bool     `json:"all_without_account,omitempty" doc:"All active portal users with an e-mail address and without an account."`
	}
}

// mostInvitations is how many runs are listed. Runs are deleted some time after they have ended.
const mostInvitations = 1000

type invitationsPath struct {
	ID uuid.UUID `path:"id"`
}

// InvitationOperations invite many portal users.
type InvitationOperations struct {
	Gate    *access.Gate
	Letters *letter.Letters
}

func (g InvitationOperations) register(a *API) {
	invite := []policy.Action{policy.Invite}
	handle(a, operation{
		method: http.MethodPost, path: "/v1/invitations", id: "start-invitations", tag: forStaff, status: http.StatusAccepted,
		summary: "Send portal users without an account an e-mail with a link to choose a first password, one after the other.",
		actions: invite, problems: []int{http.StatusUnprocessableEntity, http.StatusServiceUnavailable},
	}, func(ctx context.Context, in *startInvitations) (*body[Invitations], error) {
		who := access.Invitees{IDs: in.Body.PortalUserIDs, Everyone: in.Body.AllWithoutAccount}
		if err := g.Gate.CheckInvitees(ctx, who); err != nil {
			return nil, err
		}
		if !g.Letters.Enabled() {
			return nil, letter.ErrOff
		}
		id, err := g.Gate.StartInvitationsFor(ctx, subjectOf(ctx), who)
		if err != nil {
			return nil, err
		}
		return g.get(ctx, id)
	})
	handle(a, operation{
		method: http.MethodGet, path: "/v1/invitations", id: "list-invitations", tag: forStaff,
		summary: "Runs of invitations, newest first.", actions: invite,
	}, func(ctx context.Context, in *Page) (*body[List[Invitations]], error) {
		runs, err := g.Gate.InvitationRuns(ctx, mostInvitations)
		if err != nil {
			return nil, err
		}
		return byPosition(*in, runs, invitationsOf)
	})
	handle(a, operation{
		method: http.MethodGet, path: "/v1/invitations/{id}", id: "get-invitations", tag: forStaff,
		summary: "How far a run of invitations is.", actions: invite, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *invitationsPath) (*body[Invitations], error) { return g.get(ctx, in.ID) })
	handle(a, operation{
		method: http.MethodPost, path: "/v1/invitations/{id}/cancel", id: "cancel-invitations", tag: forStaff,
		summary: "Send no more invitations of a run. Links that were sent work.", actions: invite, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *invitationsPath) (*body[Invitations], error) {
		if err := g.Gate.CancelInvitations(ctx, subjectOf(ctx).Actor(), in.ID); err != nil {
			return nil, err
		}
		return g.get(ctx, in.ID)
	})
}

func (g InvitationOperations) get(ctx context.Context, id uuid.UUID) (*body[Invitations], error) {
	r, err := g.Gate.InvitationRun(ctx, id)
	if err != nil {
		return nil, err
	}
	return answerWith(invitationsOf(r)), nil
}
