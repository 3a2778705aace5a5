package api

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"postern/internal/inbound"
	"postern/internal/notify/reports"
	"postern/internal/problem"
)

// postInput is the unparsed request, because the signature covers its bytes.
type postInput struct{ request *http.Request }

// Resolve implements [huma.Resolver].
func (in *postInput) Resolve(ctx huma.Context) []error {
	in.request, _ = humago.Unwrap(ctx)
	return nil
}

// ReportOperations receive SendGrid's reports.
type ReportOperations struct {
	Reports *reports.Receiver
}

// register registers the webhook.
func (g ReportOperations) register(a *API) {
	const path = "/webhooks/sendgrid"
	handle(a, operation{
		method: http.MethodPost, path: path, id: "report-alerts", tag: forAll, status: http.StatusNoContent,
		summary: "SendGrid's signed event webhook. The operation answers 204 after the reports are recorded.",
		raw:     true, takes: inbound.Body{MaxBytes: reports.MaxPost, Over: 1 << 20, Memory: 2 * reports.MaxPost},
		problems: []int{http.StatusUnauthorized, http.StatusRequestTimeout,
			http.StatusRequestEntityTooLarge},
	}, g.report)
	// Described after registration: otherwise huma would read and decode it.
	a.huma.OpenAPI().Paths[path].Post.RequestBody = &huma.RequestBody{
		Required: true, Description: "The events, signed in the headers X-Twilio-Email-Event-Webhook-Signature and -Timestamp.",
		Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{
			Type: "array", Description: "SendGrid's events.",
			Items: &huma.Schema{Type: "object", AdditionalProperties: true, Description: "An event, as SendGrid documents it. Other fields are ignored.",
				Properties: map[string]*huma.Schema{
					"sg_event_id":   {Type: "string", Description: "The id of the event. An event that comes twice counts once."},
					"sg_message_id": {Type: "string", Description: "SendGrid's id of the e-mail."},
					"event":         {Type: "string", Description: "What happened: delivered, bounce, dropped, deferred and others."},
					"timestamp":     {Type: "integer", Description: "When it happened, in seconds since 1970."},
					"email":         {Type: "string", Description: "The address of the recipient."},
					"reason":        {Type: "string", Description: "Why it failed."},
					"response":      {Type: "string", Description: "The answer of the recipient's mail server."},
				}}}}},
	}
}

var errHalfPost error = problem.BadRequest.Problem("the post stopped half-way: nothing was kept, send it again", problem.Fault{Location: "body", Message: "ends before its time"})

func (g ReportOperations) report(ctx context.Context, in *postInput) (*struct{}, error) {
	post, err := io.ReadAll(in.request.Body)
	if errors.Is(err, inbound.ErrCut) {
		return nil, errHalfPost
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return nil, g.Reports.Post(ctx, in.request.Header, post)
}
