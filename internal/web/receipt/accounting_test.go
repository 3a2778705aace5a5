package receipt_test

import (
	"bytes"
	"encoding/csv"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/directory/audience"
	"postern/internal/events"
	"postern/internal/record/emergency"
	"postern/internal/web/webtest"
)

// A reviewer, who may read the record and nothing else, accounts for the disclosures of a patient
// and saves them for the patient.
func TestErrandAccountForDisclosures(t *testing.T) {
	t.Parallel()
	s := open(t, "", 1)
	who := s.NewStaff(t, "Rita Reader", policy.ReadRecord)

	e := webtest.StaffErrand(t, s.Site, who)
	e.Click("Messages")
	e.Click("Your biopsy")
	e.Click("List of recipients")
	e.Click("Certificate for")
	e.Click("Accounting of disclosures of")
	e.Sees("Accounting of disclosures", "Given Family", "Name of pat", "A message with 1 document, opened", "Exempt. To the individual", "0 disclosures must be in the accounting")
	e.SeesNot("Your biopsy", "biopsy.pdf", "Please call us")
	e.Accessible()
	e.Screenshot("accounting")
	file := e.Download("Save as a file (CSV)")
	e.Done()
	if !strings.Contains(string(file.Data), "Name of pat") {
		t.Errorf("the file is %s", file.Data)
	}
}

// The accounting has every way in which information about a patient left the record: messages,
// bundles, exports that name the patient, and emergency access. Only what the law wants in it is
// not exempt. No cell of its file is a formula.
func TestWhatAnAccountingHas(t *testing.T) {
	t.Parallel()
	s := open(t, "", 0)
	s.Exec(t, `UPDATE app.portal_users SET name = '=cmd()' WHERE portal_user_id = 'pat'`)
	s.NewPortalUser(t, "rob") // represents pat's patient
	s.Exec(t, `INSERT INTO app.links (portal_user_no, patient_no, relationship)
		SELECT portal_user_no, patient_no, 'representative' FROM app.portal_users, app.patients WHERE portal_user_id = 'rob' AND patient_id = 'pt-pat'`)
	sender := s.System.Staff(t, "Sam Sender", policy.SendPortalMessage)
	sent, err := s.Compose.Send(t.Context(), sender, uuid.NewString(), compose.Request{Subject: "Both", Body: "Of you.",
		Recipients: audience.Selection{PortalUserIDs: []string{"rob"}}})
	if err != nil {
		t.Fatal(err)
	}
	s.awaitSent(t, sender.ID, sent.ID)
	reader := s.Staff(t, "Rita Reader", policy.ReadRecord)
	for basis, to := range map[string]string{"other": "Lena Lawyer", "operations": "Olive Own-Lawyer"} {
		reader.Post("/record/receipts/"+s.message.String()+"/pat/disclose", url.Values{"to": {to}, "purpose": {"+1 court"}, "basis": {basis}}).Is(http.StatusOK)
	}
	reader.Get("/v1/record.csv?patient_id=pt-pat").Is(http.StatusOK)
	reader.Get("/v1/record.csv?patient_id=pt-rob").Is(http.StatusOK)
	urgent := policy.Subject{Realm: policy.RealmStaff, ID: s.NewStaff(t, "Una Urgent", policy.EmergencyAccess).ID, Permissions: []policy.Permission{policy.EmergencyAccess}}
	opened, err := s.Web.Emergencies.Open(t.Context(), urgent, emergency.Of{MessageID: s.message}, "unconscious patient")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Web.Emergencies.Content(t.Context(), urgent, opened.ID); err != nil {
		t.Fatal(err)
	}
	s.Settle(t)

	page := reader.Get("/record/patients/pt-pat/disclosures").Is(http.StatusOK).Says("1 disclosure must be in the accounting", "6 rows", "Lena Lawyer", "Olive Own-Lawyer",
		"To the individual: 45 CFR", "To the individual’s representative", "For treatment, payment or operations", "Una Urgent", "Emergency access: unconscious patient", "An export of")
	page.LacksHTML("Your biopsy", "Please call us")
	file := reader.Get("/v1/patients/pt-pat/disclosures.csv").Is(http.StatusOK)
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix([]byte(file.Body), []byte("\ufeff")))).ReadAll()
	if err != nil || len(rows) != 7 {
		t.Fatalf("the file has %d rows: %v", len(rows), err)
	}
	for _, row := range rows {
		for _, cell := range row {
			if strings.HasPrefix(cell, "=") || strings.HasPrefix(cell, "+") {
				t.Errorf("a cell is the formula %q", cell)
			}
		}
	}
	var n int
	if err := s.Admin.QueryRow(t.Context(), `SELECT count(*) FROM record.events WHERE type = 'record.read' AND actor = $1`, "staff:"+reader.ID).Scan(&n); err != nil || n < 2 {
		t.Errorf("%d readings are recorded (%v)", n, err)
	}
	tomorrow := time.Now().AddDate(0, 0, 2).Format(time.DateOnly)
	reader.Get("/record/patients/pt-pat/disclosures?from=" + tomorrow + "&until=" + tomorrow).Is(http.StatusOK).Says("Nothing was disclosed in this period")
	reader.Get("/record/patients/pt-rob/disclosures").Is(http.StatusOK).Says("0 disclosures must").LacksHTML("Lena Lawyer")
}

// Who accounts for disclosures, and for which periods.
func TestWhoAccounts(t *testing.T) {
	t.Parallel()
	s := open(t, "", 0)
	reader, sender := s.Staff(t, "Rita Reader", policy.ReadRecord), s.Staff(t, "Sam Sender", policy.SendPortalMessage)
	for _, path := range []string{"/record/patients/pt-pat/disclosures", "/v1/patients/pt-pat/disclosures", "/v1/patients/pt-pat/disclosures.csv"} {
		sender.Get(path).Is(http.StatusForbidden)
		reader.Get(path).Is(http.StatusOK)
		reader.Get(strings.Replace(path, "pt-pat", "unknown", 1)).Is(http.StatusNotFound)
		reader.Get(path + "?from=2019-01-01").Is(http.StatusUnprocessableEntity).Says("more than 6 years")
		reader.Get(path + "?from=x").Is(http.StatusUnprocessableEntity).Says("is not a day")
	}
	reader.Get("/record/patients/pt-pat/disclosures?from=2026-02-02&until=2026-02-01").Is(http.StatusUnprocessableEntity).Says("before the first day")
	s.Settle(t)
	var n int
	if err := s.Admin.QueryRow(t.Context(), `SELECT count(*) FROM record.events WHERE type = $1 AND actor = $2`, string(events.TypeRecordRead), "staff:"+reader.ID).Scan(&n); err != nil || n != 3 {
		t.Errorf("%d readings are recorded, want 3 (%v)", n, err)
	}
}
