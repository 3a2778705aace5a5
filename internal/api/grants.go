package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/access/policy"
)

// Grant is a request to give a staff member a permission that takes two people, and its result.
type Grant struct {
	ID          uuid.UUID         `json:"id"`
	StaffID     string            `json:"staff_id" doc:"The staff member who is to have the permission."`
	Permission  policy.Permission `json:"permission"`
	State       string            `json:"state" enum:"requested,approved,withdrawn,expired,account_disabled" doc:"account_disabled: the account of one of the two people was disabled."`
	Because     string            `json:"because" enum:"asked,new_staff,address_changed,factor_reset" doc:"address_changed, factor_reset: an administrator changed how the staff member signs in, so the permission was taken away and requested again."`
	RequestedBy string            `json:"requested_by" doc:"An actor: staff:<id>."`
	RequestedAt time.Time         `json:"requested_at"`
	ExpiresAt   time.Time         `json:"expires_at" doc:"Until when it can be approved."`
	SettledBy   *string           `json:"settled_by" doc:"The actor who approved, withdrew or ended it."`
	SettledAt   *time.Time        `json:"settled_at"`
}

func grantOf(r access.GrantRequest) Grant {
	out := Grant{r.ID, r.StaffID, r.Permission, string(r.State), string(r.Because), r.RequestedBy, r.RequestedAt.UTC(), r.ExpiresAt.UTC(), r.SettledBy, r.SettledAt}
	if r.SettledAt != nil {
		at := r.SettledAt.UTC()
		out.SettledAt = &at
	}
	return out
}

func grantsOf(all []access.GrantRequest) []Grant {
	out := make([]Grant, len(all))
	for i, r := range all {
		out[i] = grantOf(r)
	}
	return out
}

type grantPath struct {
	ID uuid.UUID `path:"id"`
}

// GrantOperations approve and withdraw requests for permissions that take two people.
type GrantOperations struct {
	Gate *access.Gate
}

func (g GrantOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/grants", id: "list-grants", tag: forStaff,
		summary: "Requests for permissions that take two people, newest first.", actions: []policy.Action{policy.ChangeStaff},
	}, g.list)
	handle(a, operation{
		method: http.MethodPost, path: "/v1/grants/{id}/approve", id: "approve-grant", tag: forStaff,
		summary: "Approve a permission that another administrator requested for a third person, or for themselves. The operation returns after the change is recorded.",
		actions: []policy.Action{policy.ApproveGrant}, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *grantPath) (*body[Grant], error) {
		r, err := g.Gate.ApproveGrant(ctx, subjectOf(ctx).Actor(), in.ID)
		return answerWith(grantOf(r)), err
	})
	handle(a, operation{
		method: http.MethodPost, path: "/v1/grants/{id}/withdraw", id: "withdraw-grant", tag: forStaff,
		summary: "Withdraw your own request, or reject another administrator's.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *grantPath) (*body[Grant], error) {
		r, err := g.Gate.WithdrawGrant(ctx, subjectOf(ctx).Actor(), in.ID)
		return answerWith(grantOf(r)), err
	})
}

func (g GrantOperations) list(ctx context.Context, in *Page) (*body[List[Grant]], error) {
	before, err := in.fromSequence()
	if err != nil {
		return nil, err
	}
	found, err := g.Gate.ListGrants(ctx, before, in.Limit+1)
	if err != nil {
		return nil, err
	}
	return answerWith(page(found, in.Limit, grantOf, func(r access.GrantRequest) string { return cursorOfSequence(r.Seq) })), nil
}
