package process

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"postern/internal/events"
	"postern/internal/notify/reports"
	"postern/internal/notify/sendgrid"
)

// ReadReports returns a function that verifies and reads the posts of SendGrid's event webhook.
// publicKey is the webhook's key from SendGrid; without it, the result is nil.
func ReadReports(publicKey string, now func() time.Time) (func(http.Header, []byte) ([]reports.Report, int, error), error) {
	if publicKey == "" {
		return nil, nil
	}
	key, err := sendgrid.ParseWebhookKey(publicKey)
	if err != nil {
		return nil, err
	}
	return func(header http.Header, body []byte) ([]reports.Report, int, error) {
		// The signature is over the raw bytes, so verify it before parsing.
		if err := sendgrid.VerifyWebhook(key, header, body, now(), sendgrid.WebhookTolerance); err != nil {
			return nil, 0, errors.Join(reports.ErrNotSigned, err)
		}
		all, odd, err := sendgrid.ParseEvents(body)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: %w", reports.ErrUnreadable, err)
		}
		read := make([]reports.Report, len(all))
		for i, e := range all {
			// A report with a time in the future would override all later reports.
			if at := now().UTC().Truncate(time.Second); e.At.IsZero() || e.At.After(at.Add(clockSkew)) {
				e.At = at
			}
			read[i] = reports.Report{Request: e.Attempt, IsTo: e.IsTo, Address: e.Address, Report: events.Report{
				ID: e.ID, Type: e.Type, Bounce: bounceOf(e), At: e.At, Status: e.Status, Reason: reasonOf(e), Position: e.Position}}
		}
		return read, odd, nil
	}, nil
}

// clockSkew is the most by which SendGrid's clock may be ahead of ours.
const clockSkew = time.Hour

// bounceOf returns the type of a bounce. Other events have none.
func bounceOf(e sendgrid.Event) string {
	if e.Type == "bounce" {
		return e.BounceType
	}
	return ""
}

// reasonOf leaves out the server's text of a successful delivery, which would take half of the
// record.
func reasonOf(e sendgrid.Event) string {
	if e.Type == "delivered" {
		return ""
	}
	return e.Reason
}
