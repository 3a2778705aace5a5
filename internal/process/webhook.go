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

// ReadReports is how posts of SendGrid's event webhook are read: not at all
// without the key that SendGrid shows for it.
func ReadReports(publicKey string, now func() time.Time) (func(http.Header, []byte) ([]reports.Report, int, error), error) {
	if publicKey == "" {
		return nil, nil
	}
	key, err := sendgrid.ParseWebhookKey(publicKey)
	if err != nil {
		return nil, err
	}
	return func(header http.Header, body []byte) ([]reports.Report, int, error) {
		// The bytes as they came, before anything else is made of them.
		if err := sendgrid.VerifyWebhook(key, header, body, now(), sendgrid.WebhookTolerance); err != nil {
			return nil, 0, errors.Join(reports.ErrNotSigned, err)
		}
		all, odd, err := sendgrid.ParseEvents(body)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: %w", reports.ErrUnreadable, err)
		}
		read := make([]reports.Report, len(all))
		for i, e := range all {
			// A time that lies ahead would outweigh every later report.
			if at := now().UTC().Truncate(time.Second); e.At.IsZero() || e.At.After(at.Add(clockSkew)) {
				e.At = at
			}
			read[i] = reports.Report{Request: e.Attempt, IsTo: e.IsTo, Address: e.Address, Report: events.Report{
				ID: e.ID, Type: e.Type, Bounce: bounceOf(e), At: e.At, Status: e.Status, Reason: reasonOf(e), Position: e.Position}}
		}
		return read, odd, nil
	}, nil
}

// clockSkew is how far SendGrid's clock may be ahead of ours.
const clockSkew = time.Hour

// bounceOf is kept of bounces alone: elsewhere the word means nothing.
func bounceOf(e sendgrid.Event) string {
	if e.Type == "bounce" {
		return e.BounceType
	}
	return ""
}

// reasonOf leaves out how a server says yes: it would be half of the record.
func reasonOf(e sendgrid.Event) string {
	if e.Type == "delivered" {
		return ""
	}
	return e.Reason
}
