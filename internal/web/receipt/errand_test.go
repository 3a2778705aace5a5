package receipt_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/directory/audience"
	"postern/internal/giveup"
	"postern/internal/process"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// clinic is a site on which Wendy has sent Pat a message with documents, which Pat has opened.
type clinic struct {
	*webtest.Site
	pat     policy.Subject
	message uuid.UUID
}

func open(t *testing.T, sender string, documents int) *clinic {
	t.Helper()
	c := &clinic{Site: webtest.New(t, func(cfg *process.WebConfig) { cfg.Clinic = "Lakeside Practice" })}
	who := policy.Subject{Realm: policy.RealmStaff, ID: sender, Permissions: policy.All}
	if sender == "" {
		who = c.System.Staff(t, "Wendy Writer", policy.SendPortalMessage)
	}
	c.pat = c.NewPortalUser(t, "pat")
	c.message = c.send(t, who, documents)
	return c
}

func (c *clinic) send(t *testing.T, who policy.Subject, documents int) uuid.UUID {
	t.Helper()
	var ids []uuid.UUID
	for i := range documents {
		up, err := c.Compose.Upload(t.Context(), who, "biopsy.pdf", strings.NewReader("%PDF-1.4\n"+strings.Repeat("%\n", i)+"%%EOF\n"))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, up.ID)
	}
	sent, err := c.Compose.Send(t.Context(), who, uuid.NewString(), compose.Request{Subject: "Your biopsy", Body: "Please call us.",
		AttachmentIDs: ids, Recipients: audience.Selection{PortalUserIDs: []string{"pat"}}})
	if err != nil {
		t.Fatal(err)
	}
	c.awaitSent(t, who.ID, sent.ID)
	if _, err := c.Web.Inbox.Open(t.Context(), c.pat, sent.ID); err != nil {
		t.Fatal(err)
	}
	c.Settle(t)
	return sent.ID
}

// awaitSent waits until the recipient of a message was alerted.
func (c *clinic) awaitSent(t *testing.T, sender string, id uuid.UUID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	for {
		changed := c.Position.Changed()
		m, err := c.Web.Messages.Message(ctx, sender, id)
		if err == nil && m.CompletedAt != nil && m.Progress.Alerted == 1 {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the message was not sent: %v", err)
		}
	}
}

// A sender who may read the record prints the certificate of a delivery, from the message's
// recipients.
func TestErrandPrintACertificate(t *testing.T) {
	t.Parallel()
	s := open(t, "", 0)
	who := s.NewStaff(t, "Rita Reader", policy.SendPortalMessage, policy.ReadRecord)
	s.send(t, policy.Subject{Realm: policy.RealmStaff, ID: who.ID, Permissions: policy.All}, 3)

	e := webtest.StaffErrand(t, s.Site, who)
	e.Click("Messages")
	e.Click("Your biopsy")
	e.Click("List of recipients")
	e.Click("Certificate for")
	e.Sees("Certificate of delivery", "Lakeside Practice", "Rita Reader", "Name of pat", "The patient themselves", "Your biopsy", "biopsy.pdf", "SHA-256", "(event ",
		"Opened for the first time", "does not prove", "postern receipt verify", "UTC")
	e.Accessible()
	e.Screenshot("certificate")
	for name, paper := range map[string]webtest.Paper{"A4": webtest.A4, "Letter": webtest.Letter} {
		if n := e.Sheets(paper); n != 1 {
			t.Errorf("on %s the certificate takes %d sheets", name, n)
		}
	}
	e.Done()
}

// The certificate fits one sheet with as many documents as a message can have, and does not show
// the content to readers of the record who may not see it.
func TestALongCertificate(t *testing.T) {
	t.Parallel()
	s := open(t, "", 20)
	reader := s.NewStaff(t, "Rita Reader", policy.ReadRecord)
	b := webtest.OpenBrowser(t, s.Site)
	b.SignIn(reader)
	b.Open("/record/receipts/" + s.message.String() + "/pat")
	b.Sees("20 documents", "Wendy Writer", "Left out: this was issued by a person who is not the sender, a Staff Bcc or the recipient")
	b.SeesNot("Your biopsy", "biopsy.pdf", "Please call us")
	b.Print()
	b.Screenshot("certificate-long-print")
	for name, paper := range map[string]webtest.Paper{"A4": webtest.A4, "Letter": webtest.Letter} {
		if n := b.Sheets(paper); n != 1 {
			t.Errorf("on %s the certificate takes %d sheets", name, n)
		}
	}
}
