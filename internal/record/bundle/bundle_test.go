package bundle_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/compose/composetest"
	"postern/internal/directory/audience"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/giveup"
	"postern/internal/labels"
	"postern/internal/proof/entrykey"
	"postern/internal/proof/receipt/issuer"
	"postern/internal/record/bundle"
	"postern/internal/record/certificate"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// No bundle is given out without its disclosure on the record, whatever fails while the disclosure
// is published. What was recorded stays recorded.
func TestADisclosureThatFails(t *testing.T) {
	t.Parallel()
	s := composetest.New(t)
	sender := s.Staff(t, "Ada Sender", policy.SendPortalMessage)
	s.PortalUser(t, "pu-1")
	sent, err := s.Compose.Send(t.Context(), sender, "key", compose.Request{Subject: "Your results", Body: "Dear {recipient's name}, please read.",
		Recipients: audience.Selection{PortalUserIDs: []string{"pu-1"}}})
	if err != nil {
		t.Fatal(err)
	}
	s.Deliver(t, sent.ID)

	refused := errors.New("refused")
	var fail func(events.Event) (before, after bool)
	publisher := facts.Publisher{Source: "/api", Clock: s.Clock.Now, Send: func(ctx context.Context, all ...events.Event) (uint64, error) {
		before, after := fail(all[0])
		if before {
			return 0, refused
		}
		seq, err := s.Publish(ctx, all...)
		if after {
			return 0, refused
		}
		return seq, err
	}}
	receipts := issuer.New(issuer.Config{Pool: s.Pool, Reader: s.Reader, Facts: publisher,
		Rosters: rosterstore.New(rosterstore.Config{Pool: s.Pool, Content: s.Content}), Entries: entrykey.Opens(s.Pool, s.Content)})
	bundles := bundle.New(bundle.Config{Pool: s.Pool, Reader: s.Reader, Facts: publisher,
		Certificates: certificate.New(certificate.Config{Pool: s.Pool, Receipts: receipts, Reader: s.Reader}),
		Labels:       func(context.Context) (labels.Labels, error) { return labels.Default(), nil }})
	right := bundle.Request{MessageID: sent.ID, PortalUserID: "pu-1", Actor: "staff:reviewer", MayRead: true, Content: true,
		To: "Lena Lawyer", Basis: events.ToOther, Purpose: "court order"}
	ofType := func(kind events.Type, before, after bool) func(events.Event) (bool, bool) {
		return func(e events.Event) (bool, bool) { return before && e.Type == kind, after && e.Type == kind }
	}
	changed := func(change func(*bundle.Request)) bundle.Request { q := right; change(&q); return q }

	recorded := 0
	for name, c := range map[string]struct {
		q        bundle.Request
		fail     func(events.Event) (bool, bool)
		given    bool
		recorded int // how many disclosures this adds
	}{
		"the receipt can't be recorded":                   {right, ofType(events.TypeReceiptIssued, true, false), false, 0},
		"the disclosure can't be recorded":                {right, ofType(events.TypeDeliveryDisclosed, true, false), false, 0},
		"the disclosure is recorded, and the answer lost": {right, ofType(events.TypeDeliveryDisclosed, false, true), false, 1},
		"the actor may not read the content":              {changed(func(q *bundle.Request) { q.MayRead = false }), ofType("", false, false), false, 0},
		"no one gets it":                                  {changed(func(q *bundle.Request) { q.To = " " }), ofType("", false, false), false, 0},
		"no such delivery":                                {changed(func(q *bundle.Request) { q.MessageID = uuid.New() }), ofType("", false, false), false, 0},
		"nothing fails":                                   {right, ofType("", false, false), true, 1},
	} {
		fail = c.fail
		ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
		made, err := bundles.HandOver(ctx, c.q)
		cancel()
		if (err == nil) != c.given || len(made.Data) > 0 != c.given {
			t.Errorf("%s: a bundle of %d bytes, %v", name, len(made.Data), err)
		}
		if err == nil {
			saysWhatIsFilledIn(t, made.Data)
		}
		recorded += c.recorded
		s.Settle(t)
		var n int
		if err := s.Admin.QueryRow(t.Context(), `SELECT count(*) FROM record.events WHERE type = 'delivery.disclosed'`).Scan(&n); err != nil || n != recorded {
			t.Errorf("%s: %d disclosures are recorded, want %d (%v)", name, n, recorded, err)
		}
	}
}

// saysWhatIsFilledIn checks that a bundle explains the fields of a text, which it has as they were sent.
func saysWhatIsFilledIn(t *testing.T, file []byte) {
	t.Helper()
	files, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{"README.txt": "{recipient's name} was filled in with the name of the person", "message.txt": "Dear {recipient's name}, please read."} {
		text, err := fs.ReadFile(files, name)
		if err != nil || !strings.Contains(string(text), says) {
			t.Errorf("%s is %s (%v)", name, text, err)
		}
	}
}
