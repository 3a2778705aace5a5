package delivered_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/compose/composetest"
	"postern/internal/directory/audience"
	"postern/internal/inbox/delivered"
	"postern/internal/problem"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// send sends a message to a selection, and delivers it as the fan-out worker does, or, with
// format1, as it did before rosters were cited.
func send(t *testing.T, s *composetest.System, format1 bool, to audience.Selection) uuid.UUID {
	t.Helper()
	sender := s.Staff(t, "Ada", policy.SendPortalMessage, policy.SendBulkPortalMessage)
	sent, err := s.Compose.Send(t.Context(), sender, "key", compose.Request{Subject: "s", Body: "b", Recipients: to, UndoSeconds: new(int)})
	if err != nil {
		t.Fatal(err)
	}
	if format1 {
		s.DeliverInFormat1(t, sent.ID)
	} else {
		s.Deliver(t, sent.ID)
	}
	return sent.ID
}

// directoryOf has a portal user for each reason, and returns their ids. The portal user far-away
// is the first of another block.
func directoryOf(t *testing.T, s *composetest.System) {
	t.Helper()
	for _, id := range []string{"active", "discharged", "dead", "ended", "later", "inactive", "chosen"} {
		s.PortalUser(t, id)
	}
	for _, sql := range []string{
		`UPDATE app.patients SET status = 'discharged' WHERE patient_id IN ('pt-discharged', 'pt-chosen')`,
		`UPDATE app.patients SET deceased = true WHERE patient_id = 'pt-dead'`,
		`UPDATE app.links SET valid_until = '2020-01-01' WHERE portal_user_no = (SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = 'ended')`,
		`UPDATE app.links SET valid_from = '2999-01-01' WHERE portal_user_no = (SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = 'later')`,
		`UPDATE app.portal_users SET active = false WHERE portal_user_id = 'inactive'`,
		`SELECT setval(pg_get_serial_sequence('app.portal_users', 'portal_user_no'), 600)`,
	} {
		s.Exec(t, sql)
	}
	s.PortalUser(t, "far-away")
	s.Exec(t, `UPDATE app.patients SET status = 'discharged' WHERE patient_id = 'pt-far-away'`)
}

// answer is what is compared of a reason.
type answer struct {
	In       bool
	Reason   string
	Patients string
}

func check(t *testing.T, s *composetest.System, message uuid.UUID, want map[string]answer) {
	t.Helper()
	for id, want := range want {
		w, err := delivered.Explain(t.Context(), s.Pool, message, id)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if diff := cmp.Diff(want, answer{w.In, string(w.Reason), strings.Join(w.Patients, " ")}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
		if today := s.Clock.Now().UTC().Format(time.DateOnly); !strings.Contains(w.String(), today) || strings.HasSuffix(w.String(), ": , on "+today) {
			t.Errorf("%s: it says %s", id, w)
		}
	}
}

// Of a message to a group, the reason is that of the day of the audience, whatever the directory
// says later.
func TestWhyOfAGroup(t *testing.T) {
	t.Parallel()
	s := composetest.New(t)
	directoryOf(t, s)
	message := send(t, s, false, audience.Selection{PortalUserIDs: []string{"chosen"}, Groups: []audience.Group{audience.ActivePatients}})
	s.Exec(t, `SELECT setval(pg_get_serial_sequence('app.portal_users', 'portal_user_no'), 8)`)
	s.PortalUser(t, "came-later")
	s.Exec(t, `UPDATE app.patients SET status = CASE status WHEN 'active' THEN 'discharged' ELSE 'active' END`)
	check(t, s, message, map[string]answer{
		"active":     {true, "active_patient", "pt-active"},
		"chosen":     {true, "added", "pt-chosen"},
		"discharged": {false, "in_no_group", "pt-discharged"},
		"dead":       {false, "deceased", "pt-dead"},
		"ended":      {false, "link_ended", "pt-ended"},
		"later":      {false, "link_not_begun", "pt-later"},
		"inactive":   {false, "account_inactive", "pt-inactive"},
		"came-later": {false, "not_in_directory", ""},
		"far-away":   {false, "in_no_group", "pt-far-away"},
	})
	s.Exec(t, `SELECT setval(pg_get_serial_sequence('app.portal_users', 'portal_user_no'), 1000)`)
	s.PortalUser(t, "new-block")
	check(t, s, message, map[string]answer{"new-block": {false, "not_in_directory", ""}})
	// Without the roster or the state it is not known which.
	s.Exec(t, `DELETE FROM app.rosters WHERE block = 2 AND NOT EXISTS (SELECT FROM app.block_rosters b WHERE b.root = rosters.root)`)
	check(t, s, message, map[string]answer{"far-away": {false, "no_roster_cited", ""}, "new-block": {false, "not_in_directory", ""}})
	s.Exec(t, `DELETE FROM app.directory_states`)
	check(t, s, message, map[string]answer{"far-away": {false, "no_roster_cited", ""}, "new-block": {false, "no_roster_cited", ""}, "dead": {false, "deceased", "pt-dead"}})
}

// Of a message to chosen portal users, and of one to a group from before rosters were cited, the
// events say who got it.
func TestWhyOfNamedRecipients(t *testing.T) {
	t.Parallel()
	s := composetest.New(t)
	directoryOf(t, s)
	check(t, s, send(t, s, false, audience.Selection{PortalUserIDs: []string{"active", "inactive"}}), map[string]answer{
		"active":     {true, "added", "pt-active"},
		"inactive":   {true, "added", "pt-inactive"},
		"discharged": {false, "not_chosen", ""},
	})
	check(t, s, send(t, s, true, audience.Selection{Groups: []audience.Group{audience.ActivePatients}}), map[string]answer{
		"active":     {true, "active_patient", "pt-active"},
		"discharged": {false, "not_recorded", ""},
	})
}

// Without the message, the portal user or the audience there is no reason.
func TestWhyOfNothing(t *testing.T) {
	t.Parallel()
	s := composetest.New(t)
	s.PortalUser(t, "pu-1")
	sent, err := s.Compose.Send(t.Context(), s.Staff(t, "Ada", policy.SendPortalMessage), "key",
		compose.Request{Subject: "s", Body: "b", Recipients: audience.Selection{PortalUserIDs: []string{"pu-1"}}})
	if err != nil {
		t.Fatal(err)
	}
	s.Settle(t)
	for name, of := range map[string]struct {
		message uuid.UUID
		id      string
		kind    problem.Kind
	}{
		"no message":     {uuid.New(), "pu-1", problem.NotFound},
		"no portal user": {sent.ID, "pu-9", problem.NotFound},
		"no audience":    {sent.ID, "pu-1", problem.NotReady},
	} {
		if _, err := delivered.Explain(t.Context(), s.Pool, of.message, of.id); problem.Of(err).Kind != of.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
}
