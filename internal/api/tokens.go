package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/events"
)

// Token is an API token, without the token itself.
type Token struct {
	ID          uuid.UUID           `json:"id" format:"uuid" doc:"The id by which it is revoked. The record names the token by it."`
	Name        string              `json:"name" doc:"The name that its owner gave it."`
	Scope       string              `json:"scope" enum:"owner,listed" doc:"owner: it permits what its owner may do at the time. listed: it permits those of the listed permissions that its owner has at the time."`
	Permissions []policy.Permission `json:"permissions" nullable:"false" doc:"The permissions that it gives now."`
	State       string              `json:"state" enum:"active,expired,revoked" doc:"Only an active token works. Others are listed for a month."`
	MadeAt      time.Time           `json:"made_at" doc:"When it was made."`
	ExpiresAt   time.Time           `json:"expires_at" doc:"When it stops working."`
	LastUsedAt  *time.Time          `json:"last_used_at" doc:"When it was last used, to the minute; null: never."`
}

func tokenOf(t access.Token, owner access.Staff) Token {
	out := Token{ID: t.ID, Name: t.Name, Scope: string(t.Scope), Permissions: t.Permits(held(owner)), State: string(t.State),
		MadeAt: t.MadeAt.UTC(), ExpiresAt: t.ExpiresAt.UTC()}
	if t.LastUsedAt != nil {
		at := t.LastUsedAt.UTC()
		out.LastUsedAt = &at
	}
	return out
}

// NewToken is a token to be made.
type NewToken struct {
	Name        string              `json:"name" doc:"A name by which you recognise it, of at most {TokenName}."`
	Permissions []policy.Permission `json:"permissions,omitempty" maxItems:"50" doc:"What it permits, out of your own permissions. Without a list it permits what you may do at the time."`
	ExpiresAt   *time.Time          `json:"expires_at,omitempty" doc:"When it stops working: within {TokenLifetime}. Without a time, after 90 days."`
}

// TransformSchema implements [huma.SchemaTransformer]: it lists all permissions.
func (NewToken) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	listPermissions(s)
	return s
}

// MadeToken is a new token. It is the only answer that has the token itself.
type MadeToken struct {
	Token
	Secret string `json:"token" doc:"The token, for the header Authorization: Bearer. It can't be shown again."`
}

type newTokenInput struct{ Body NewToken }

// TokenPath is the path of an API token.
type TokenPath struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

// StaffTokenPath is the path of an API token of a staff member.
type StaffTokenPath struct {
	StaffPath
	Token uuid.UUID `path:"token_id" format:"uuid"`
}

type staffTokensInput struct {
	StaffPath
	Page
}

// TokenOperations list, make and revoke API tokens of staff.
type TokenOperations struct {
	Gate *access.Gate
}

func (g TokenOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/tokens", id: "list-tokens", tag: forStaff,
		summary: "My API tokens, newest first.", actions: []policy.Action{policy.SeeAccess},
	}, func(ctx context.Context, in *Page) (*body[List[Token]], error) {
		return g.list(ctx, *in, subjectOf(ctx).ID)
	})
	handle(a, operation{
		method: http.MethodPost, path: "/v1/tokens", id: "make-token", tag: forStaff, status: http.StatusCreated,
		summary: "Make an API token of mine. The operation returns after the token is recorded.",
		actions: []policy.Action{policy.MakeTokens}, problems: []int{http.StatusConflict},
	}, g.make)
	handle(a, operation{
		method: http.MethodDelete, path: "/v1/tokens/{id}", id: "revoke-token", tag: forStaff, status: http.StatusNoContent,
		summary: "Revoke an API token of mine. The operation returns after it no longer works.",
		actions: []policy.Action{policy.MakeTokens}, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *TokenPath) (*struct{}, error) {
		me := subjectOf(ctx)
		return nil, g.Gate.RevokeToken(ctx, me.Actor(), me.ID, in.ID, events.RevokedByOwner)
	})
	handle(a, operation{
		method: http.MethodGet, path: "/v1/staff/{id}/tokens", id: "list-staff-tokens", tag: forStaff,
		summary: "The API tokens of a staff member, newest first.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *staffTokensInput) (*body[List[Token]], error) {
		return g.list(ctx, in.Page, in.ID)
	})
	handle(a, operation{
		method: http.MethodDelete, path: "/v1/staff/{id}/tokens/{token_id}", id: "revoke-staff-token", tag: forStaff, status: http.StatusNoContent,
		summary: "Revoke an API token of a staff member. The operation returns after it no longer works.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *StaffTokenPath) (*struct{}, error) {
		return nil, g.Gate.RevokeToken(ctx, subjectOf(ctx).Actor(), in.ID, in.Token, events.RevokedByAdministrator)
	})
}

func (g TokenOperations) list(ctx context.Context, p Page, staffID string) (*body[List[Token]], error) {
	owner, err := g.Gate.StaffByID(ctx, staffID)
	if err != nil {
		return nil, err
	}
	all, err := g.Gate.Tokens(ctx, staffID)
	if err != nil {
		return nil, err
	}
	return byPosition(p, all, func(t access.Token) Token { return tokenOf(t, owner) })
}

func (g TokenOperations) make(ctx context.Context, in *newTokenInput) (*body[MadeToken], error) {
	me := subjectOf(ctx)
	made, secret, err := g.Gate.CreateToken(ctx, me.Actor(), me.ID, access.NewToken{Name: in.Body.Name, Permissions: in.Body.Permissions, ExpiresAt: in.Body.ExpiresAt})
	if err != nil {
		return nil, err
	}
	owner, err := g.Gate.StaffByID(ctx, me.ID)
	return answerWith(MadeToken{tokenOf(made, owner), secret}), err
}
