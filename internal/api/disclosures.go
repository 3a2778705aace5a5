package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"postern/internal/access/policy"
	"postern/internal/content/attachment"
	"postern/internal/events"
	"postern/internal/messages"
	"postern/internal/record/bundle"
)

type handOverInput struct {
	MessagePath
	PortalUserID string `path:"portal_user_id" maxLength:"64"`
	Body         struct {
		To      string `json:"to" minLength:"1" maxLength:"200" doc:"The person or organization that gets it. It is recorded word for word."`
		Address string `json:"address,omitempty" maxLength:"500" doc:"Their address, if it is known."`
		Basis   string `json:"basis" enum:"other,patient,authorization,operations" doc:"The ground: other is the only one that the accounting of disclosures must have."`
		Purpose string `json:"purpose" minLength:"1" maxLength:"500" doc:"Why it is disclosed. It is recorded word for word."`
		Content bool   `json:"content,omitempty" doc:"Include the text and the documents. Only the sender and a Staff Bcc can."`
	}
}

// DisclosureOperations hand the evidence of deliveries over, and account for it.
type DisclosureOperations struct {
	Messages *messages.Reader
	Bundles  *bundle.Bundles
	Await    Await
}

func (g DisclosureOperations) register(a *API) {
	const path = "/v1/messages/{id}/deliveries/{portal_user_id}/bundle"
	handle(a, operation{
		method: http.MethodPost, path: path, id: "hand-over-delivery", tag: forStaff,
		summary: "The evidence of one delivery for a person outside the portal, as a ZIP file: certificate, receipt, key, how to check them, and the content where you may read it. The disclosure is recorded before the answer.",
		actions: []policy.Action{policy.ReadTheRecord}, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, g.handOver)
	a.huma.OpenAPI().Paths[path].Post.Responses["200"] = &huma.Response{Description: "The file.",
		Content: map[string]*huma.MediaType{"application/zip": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}
}

func (g DisclosureOperations) handOver(ctx context.Context, in *handOverInput) (*huma.StreamResponse, error) {
	subject := subjectOf(ctx)
	m, err := g.Messages.Visible(ctx, subject, in.ID)
	if err != nil {
		return nil, err
	}
	made, err := g.Bundles.HandOver(ctx, bundle.Request{MessageID: in.ID, PortalUserID: in.PortalUserID, Actor: subject.Actor(), MayRead: m.Role != messages.RoleNone,
		Content: in.Body.Content, To: in.Body.To, Address: in.Body.Address, Basis: events.DisclosureBasis(in.Body.Basis), Purpose: in.Body.Purpose})
	if err != nil {
		return nil, err
	}
	g.Await(ctx, made.Seq)
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		attachment.Describe(hc.SetHeader, made.Name, "application/zip", len(made.Data))
		hc.SetStatus(http.StatusOK)
		_, _ = hc.BodyWriter().Write(made.Data) // if this fails, the client is gone
	}}, nil
}
