package inboxstore_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/compose/composetest"
	"postern/internal/directory/audience"
	"postern/internal/eventlog/facts"
	"postern/internal/inbox"
	"postern/internal/inbox/inboxstore"
	"postern/internal/messages"
)

// A message that concerns one of a mother's two patients is read through the link to that patient
// alone, also if that link ended before the message was delivered. A pick of a patient to whom she is
// not linked is refused.
func TestWhoseMatterIsRead(t *testing.T) {
	s := composetest.New(t)
	ada := s.Staff(t, "Ada", policy.SendBulkPortalMessage)
	mother := s.PortalUser(t, "mother")
	s.PortalUser(t, "mia")
	s.PortalUser(t, "tom")
	s.Exec(t, `DELETE FROM app.links WHERE portal_user_no = $1`, mother.No)
	s.Exec(t, `INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT $1, patient_no, 'representative' FROM app.patients WHERE patient_id IN ('pt-mia', 'pt-tom')`, mother.No)
	box := inboxstore.New(inboxstore.Config{Pool: s.Pool, Reader: s.Reader, Facts: facts.Publisher{Source: "/api", Send: s.Publish, Reached: s.Position.Wait, Clock: s.Clock.Now}})
	send := func(patients ...string) uuid.UUID {
		to := audience.Selection{PortalUserIDs: []string{"mother"}}
		sent, err := s.Compose.Send(t.Context(), ada, uuid.NewString(), compose.Request{Subject: "A visit", Body: "Hello.", Recipients: to.With("mother", patients)})
		if err != nil {
			t.Fatal(err)
		}
		s.Await(t, sent.Seq)
		return sent.ID
	}
	list := func(f inbox.Filter) map[uuid.UUID]int {
		found, err := box.List(t.Context(), mother, f, uuid.Max, 50)
		if err != nil {
			t.Fatal(err)
		}
		about := map[uuid.UUID]int{}
		for _, m := range found.Messages {
			about[m.ID] = len(m.About.Others)
		}
		return about
	}
	mias, both, open := send("pt-mia"), send("pt-mia", "pt-tom"), send()
	for _, id := range []uuid.UUID{mias, both, open} {
		s.Deliver(t, id)
	}
	if got := list(inbox.Filter{}); got[mias] != 1 || got[both] != 2 || got[open] != 2 {
		t.Errorf("they are about so many patients: %v", got)
	}
	later := send("pt-mia")
	s.Exec(t, `UPDATE app.links SET valid_until = '2000-01-01' WHERE patient_no = (SELECT patient_no FROM app.patients WHERE patient_id = 'pt-mia') AND portal_user_no = $1`, mother.No)
	s.Deliver(t, later)
	if got := list(inbox.Filter{}); len(got) != 2 || got[both] != 1 || got[open] != 1 {
		t.Errorf("without the link to Mia, they are about so many patients: %v", got)
	}
	for _, id := range []uuid.UUID{mias, later} {
		if _, err := box.Open(t.Context(), mother, id); !errors.Is(err, inbox.ErrNotFound) {
			t.Errorf("Mia's message opens: %v", err)
		}
	}
	// The sender's list of recipients says it.
	reads := messages.New(s.Pool)
	for id, ended := range map[uuid.UUID]bool{mias: false, both: false, open: false, later: true} {
		to, err := reads.Deliveries(t.Context(), id, messages.Filter{}, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		if of, err := reads.Concerned(t.Context(), id, to); err != nil || of[mother.No].Ended != ended {
			t.Errorf("the recipients of %s: %+v, %v", id, of, err)
		}
	}
	wrong := audience.Selection{PortalUserIDs: []string{"mother"}}.With("mother", []string{"pt-mia"})
	var invalid *compose.Invalid
	_, err := s.Compose.Send(t.Context(), ada, uuid.NewString(), compose.Request{Subject: "A visit", Body: "Hello.", Recipients: wrong})
	if !errors.As(err, &invalid) || invalid.Faults[0].Location != "body.recipients.about[0].patient_ids[0]" {
		t.Errorf("a pick without a link: %v", err)
	}
}
