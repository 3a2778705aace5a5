package api

import (
	"context"
	"net/http"

	"postern/internal/access/policy"
	"postern/internal/messages"
	"postern/internal/proof/receipt/issuer"
)

type receiptInput struct {
	MessagePath
	PortalUserID string `path:"portal_user_id" maxLength:"64"`
}

// ReceiptOperations issue receipts, each the proof of one delivery.
type ReceiptOperations struct {
	Messages *messages.Reader
	Receipts *issuer.Issuer
}

func (g ReceiptOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/messages/{id}/deliveries/{portal_user_id}/receipt", id: "get-receipt", tag: forStaff,
		summary: "The receipt of one delivery, which `postern receipt verify` checks. Issuing it is recorded. The operation waits for the checkpoint that covers it.",
		actions: []policy.Action{policy.ReadTheRecord}, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *receiptInput) (*plainText, error) {
		subject := subjectOf(ctx)
		m, err := g.Messages.Visible(ctx, subject, in.ID)
		if err != nil {
			return nil, err
		}
		r, err := g.Receipts.Issue(ctx, issuer.Request{MessageID: in.ID, PortalUserID: in.PortalUserID, Actor: subject.Actor(), Names: m.Role != messages.RoleNone})
		if err != nil {
			return nil, err
		}
		file, err := r.Encode()
		return &plainText{"application/json", file}, err
	})
}
