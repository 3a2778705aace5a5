package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/problem"
	"postern/internal/record/retention"
)

// Erasure is a request to erase the content of a message, and its result.
type Erasure struct {
	ID          uuid.UUID  `json:"id"`
	MessageID   uuid.UUID  `json:"message_id"`
	Status      string     `json:"status" enum:"requested,erased,withdrawn"`
	Reason      string     `json:"reason"`
	RequestedBy string     `json:"requested_by" doc:"An actor: staff:<id> or operator:<name>."`
	RequestedAt time.Time  `json:"requested_at"`
	SettledBy   *string    `json:"settled_by" doc:"The actor who approved or withdrew it."`
	SettledAt   *time.Time `json:"settled_at"`
	Early       bool       `json:"early" doc:"Erased before the retention period ended."`
}

func erasureOf(e retention.Erasure) Erasure {
	out := Erasure{e.ID, e.MessageID, e.Status, e.Reason, e.RequestedBy, e.RequestedAt.UTC(), e.SettledBy, e.SettledAt, e.Early}
	if e.SettledAt != nil {
		at := e.SettledAt.UTC()
		out.SettledAt = &at
	}
	return out
}

type askErasure struct {
	Body struct {
		MessageID string `json:"message_id" format:"uuid"`
		Reason    reason `json:"reason" doc:"The reason. It is recorded word for word."`
	}
}

type erasurePath struct {
	ID uuid.UUID `path:"id"`
}

// ErasureOperations erase content after the approval of a second staff member.
type ErasureOperations struct {
	Retention *retention.Retention
}

func (g ErasureOperations) register(a *API) {
	erase := []policy.Action{policy.EraseContent}
	handle(a, operation{
		method: http.MethodPost, path: "/v1/erasures", id: "request-erasure", tag: forStaff, status: http.StatusCreated,
		summary: "Request that the content of a message be erased. It is erased only after another staff member approves.",
		actions: erase, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *askErasure) (*body[Erasure], error) {
		message, err := uuid.Parse(in.Body.MessageID)
		if err != nil {
			return nil, problem.Invalid("body.message_id", "is not the id of a message")
		}
		e, err := g.Retention.Request(ctx, subjectOf(ctx).Actor(), message, string(in.Body.Reason))
		return answerWith(erasureOf(e)), err
	})
	handle(a, operation{
		method: http.MethodGet, path: "/v1/erasures", id: "list-erasures", tag: forStaff,
		summary: "Erasure requests and their status, newest first.", actions: []policy.Action{policy.EraseContent, policy.ReadTheRecord},
	}, g.listErasures)
	handle(a, operation{
		method: http.MethodPost, path: "/v1/erasures/{id}/approve", id: "approve-erasure", tag: forStaff,
		summary: "Approve another staff member's request. The operation returns after the content is erased.",
		actions: []policy.Action{policy.ApproveErasure}, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *erasurePath) (*body[Erasure], error) {
		e, err := g.Retention.Approve(ctx, subjectOf(ctx), in.ID)
		return answerWith(erasureOf(e)), err
	})
	handle(a, operation{
		method: http.MethodPost, path: "/v1/erasures/{id}/withdraw", id: "withdraw-erasure", tag: forStaff,
		summary: "Withdraw your own request, or reject another staff member's.",
		actions: erase, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *erasurePath) (*body[Erasure], error) {
		e, err := g.Retention.Withdraw(ctx, subjectOf(ctx).Actor(), in.ID)
		return answerWith(erasureOf(e)), err
	})
}

func (g ErasureOperations) listErasures(ctx context.Context, in *Page) (*body[List[Erasure]], error) {
	before, err := in.fromSequence()
	if err != nil {
		return nil, err
	}
	found, err := g.Retention.List(ctx, before, in.Limit+1)
	if err != nil {
		return nil, err
	}
	return answerWith(page(found, in.Limit, erasureOf, func(e retention.Erasure) string { return cursorOfSequence(e.Seq) })), nil
}
