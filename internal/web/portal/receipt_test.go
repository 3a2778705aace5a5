package portal_test

import (
	"net/http"
	"testing"

	"postern/internal/web/webtest"
)

// A patient prints the proof that a message was delivered.
func TestErrandGetMyCertificate(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.NewPortalUser(t, "anna")
	c.NewPortalUser(t, "ben")
	c.send(message{subject: "Consent form", body: "Please sign.", bcc: []string{c.ada.ID}}, "anna", "ben")

	e := webtest.PortalErrand(t, c.Site, "anna")
	e.Click("Consent form")
	e.Click("Proof of delivery")
	e.Sees("Certificate of delivery", "Consent form", "Ada Brook", "Name of anna", "Readable in the recipient’s inbox", "postern receipt verify")
	e.SeesNot("ben")
	e.Accessible()
	for name, paper := range map[string]webtest.Paper{"A4": webtest.A4, "Letter": webtest.Letter} {
		if n := e.Sheets(paper); n != 1 {
			t.Errorf("on %s the certificate takes %d sheets", name, n)
		}
	}
	e.Done()
}

// The certificate of a message belongs to its recipient, and opens nothing.
func TestWhoGetsACertificate(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	anna, ben := c.PortalUser(t, "anna"), c.PortalUser(t, "ben")
	id := c.send(message{subject: "Consent form", body: "Please sign."}, "anna")
	at := "/portal/messages/" + id + "/receipt"
	c.SignedOut(t).Get(at).Says("Sign in")
	ben.Get(at).Is(http.StatusNotFound).LacksHTML("Consent form")
	anna.Head(at).Is(http.StatusMethodNotAllowed)
	anna.Prefetch(at).Is(http.StatusServiceUnavailable)
	anna.Get(at).Is(http.StatusOK).Says("Consent form").LacksHTML("Opened for the first time")
	anna.Get("/portal").Says("New")
	anna.Get("/portal/messages/x/receipt").Is(http.StatusNotFound)
}
