package web_test

import (
	"testing"

	"postern/internal/web/webtest"
)

// The reference of the API is made of openapi.json, in a browser that refuses every other site,
// every script in the page and every style in the page. It is accessible in each kind of its pages.
func TestReference(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	b := webtest.OpenBrowser(t, s)
	b.Open("/docs")
	b.Sees("Idempotency")
	b.Screenshot("reference")
	b.AccessibleInAllViews()
	for _, at := range []struct{ path, sees string }{
		{"/docs#/operations/send-message", "Idempotency-Key"},
		{"/docs#/operations/list-record", "Only events about this message"},
		{"/docs#/operations/report-alerts", "SendGrid's events"},
		{"/docs#/schemas/MessageInFull", "For the sender and Staff Bcc"},
	} {
		b.Open(at.path)
		b.Sees(at.sees)
		b.Screenshot("reference" + at.path[6:])
		b.AccessibleInAllViews()
	}
	b.Open("/docs/plain")
	b.Sees("Idempotency")
	b.AccessibleInAllViews()
}
