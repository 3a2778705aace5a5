package api

import (
	"context"
	"net/http"
	"time"

	"postern/internal/access"
	"postern/internal/access/policy"
)

// Letter is what a letter has with which a portal user without an e-mail address gets in.
type Letter struct {
	UserName  string    `json:"user_name" doc:"What they sign in with from then on." example:"kd4m-xr7p"`
	Code      string    `json:"code" doc:"With it they choose a password, once. It is in no other answer." example:"kd4m-xr7p-3fgh-8njt"`
	ExpiresAt time.Time `json:"expires_at" doc:"When the code stops working." example:"2026-02-21T09:30:00Z"`
	First     bool      `json:"first" doc:"Whether they have no password yet." example:"true"`
}

// makeLetter registers making a letter. Only a session may: who has a code can choose the password of
// another person.
func (g SessionOperations) makeLetter(a *API) {
	handle(a, operation{
		method: http.MethodPost, path: "/v1/portal-users/{id}/letter", id: "make-letter", tag: forStaff, status: http.StatusCreated,
		summary: "Make a user name and a code for a letter to a portal user without a working e-mail address. A letter or a link that was made before stops working. The operation returns after this is recorded. It needs a session: an API token can't do it.",
		actions: []policy.Action{policy.MakeLetters}, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *PortalUserPath) (*body[Letter], error) {
		made, err := g.Gate.MakeLetter(ctx, subjectOf(ctx).Actor(), in.ID, access.NewPrint())
		if err != nil {
			return nil, err
		}
		return answerWith(Letter{made.UserName, made.Code, made.ExpiresAt.UTC(), made.First}), nil
	})
}
