package replay_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/directory/audience"
	"postern/internal/process"
	"postern/internal/text/language"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// blast sends a message to n portal users, half of whom SendGrid refuses, and returns its
// id.
func blast(t *testing.T, s *webtest.Site, n int) string {
	t.Helper()
	for i := range n {
		s.System.PortalUser(t, fmt.Sprintf("pu-%d", i))
	}
	var half []string
	for i := range n / 2 {
		half = append(half, fmt.Sprintf("pu-%d@example.org", i))
	}
	s.Refuse(func(address string) string {
		if slices.Contains(half, address) {
			return "The mailbox is full."
		}
		return ""
	})
	now := 0
	sender := s.NewStaff(t, "Sam Sender", policy.SendPortalMessage, policy.SendBulkPortalMessage)
	sent, err := s.Web.Composer.Send(t.Context(), policy.Subject{Realm: policy.RealmStaff, ID: sender.ID, Permissions: sender.Permissions}, uuid.NewString(),
		compose.Request{Subject: "We move", Body: "To the garden side.", UndoSeconds: &now, Recipients: audience.Selection{Groups: []audience.Group{audience.AllPortalUsers}}})
	if err != nil {
		t.Fatal(err)
	}
	for {
		changed := s.Position.Changed()
		m, err := s.Web.Messages.Message(t.Context(), sender.ID, sent.ID)
		if err != nil {
			t.Fatal(err)
		}
		if p := m.Progress; p.Recipients > 0 && p.Alerted+p.AlertFailed == p.Recipients {
			return sent.ID.String()
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal("the alerts of the message were not sent")
		}
	}
}

// Half of the alerts of a message failed. An operator plans a replay of these, checks it,
// starts it, and watches it finish on the page.
func TestStoryRepeatFailedAlerts(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	id := blast(t, s, 6)
	s.Refuse(func(string) string { return "" })
	olga := s.NewStaff(t, "Olga Operator", policy.ReplayDeliveries, policy.ReadRecord)
	b := webtest.OpenBrowser(t, s)
	b.SignIn(olga)
	b.Open("/messages/" + id)
	b.Click("Resend failed alerts")
	b.At("/operations/replays/new?message=" + id)
	b.AccessibleInAllViews()
	b.Type("Why are you repeating these alerts?", "Their provider was down")
	b.Click("Make the plan")
	b.Sees("Nothing has been sent yet", "3 alerts would be repeated", "3: ", "Their provider was down", "Olga Operator")
	b.AccessibleInAllViews()
	b.Click("Start the replay")
	b.Sees("Done", "3 of 3 (100%)", "It ended")
	b.SeesNot("Cancel the replay")
	b.Accessible()
	b.Open("/operations/replays")
	b.Sees("Their provider was down", "Done")
	b.Open("/messages/" + id)
	b.SeesNot("Resend failed alerts")
}

// An operator sees on the page of a message why alerts failed, ticks a reason, and plans and
// starts a replay of it.
func TestErrandReplayAReason(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	blast(t, s, 6)
	s.Refuse(func(string) string { return "" })
	e := webtest.StaffErrand(t, s, s.NewStaff(t, "Olga Operator", policy.ReplayDeliveries, policy.ReadRecord))
	e.Click("Messages")
	e.Click("We move")
	e.Sees("Why alerts failed", "The mailbox is full.")
	e.Screenshot("message-failures")
	e.Accessible()
	e.Click("The mailbox is full.")
	e.Click("Plan a replay of the ticked reasons")
	e.Sees("3 alerts would be repeated.", "by Sam Sender: 3 failed, 0 unknown")
	e.Screenshot("replay-new")
	e.Accessible()
	e.Type("Why are you repeating these alerts?", "Their provider was down")
	e.Click("Make the plan")
	e.Sees("3 alerts would be repeated")
	e.Click("Start the replay")
	e.Sees("Done", "3 of 3 (100%)")
	e.Done()
}

// The page of a message names the replays that have its alerts, to staff who may replay.
func TestAMessageNamesItsReplays(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	id := blast(t, s, 4)
	olga := s.Staff(t, "Olga Operator", policy.ReplayDeliveries, policy.ReadRecord)
	plan := olga.Post("/operations/replays", url.Values{"message": {id}, "why": {"again"}}).Is(http.StatusOK)
	olga.Get("/messages/" + id).Is(http.StatusOK).Says("2 alerts are in a planned replay").HasHTML(`href="` + plan.URL.Path + `"`)
	rui := s.Staff(t, "Rui Reviewer", policy.ReadRecord)
	rui.Get("/messages/"+id).Is(http.StatusOK).Says("Why alerts failed").LacksHTML(plan.URL.Path, "Plan a replay")
	olga.Post(plan.URL.Path, url.Values{"do": {"cancel"}}).Is(http.StatusOK)
	olga.Get("/messages/" + id).LacksHTML(plan.URL.Path)
}

// An operator ticks two recipients of a message, and plans a replay of their alerts. The counts
// follow what is ticked.
func TestErrandReplayRecipients(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	blast(t, s, 6)
	s.Refuse(func(string) string { return "" })
	e := webtest.StaffErrand(t, s, s.NewStaff(t, "Olga Operator", policy.ReplayDeliveries, policy.ReadRecord))
	e.Click("Messages")
	e.Click("We move")
	e.Click(".app-stack a")
	e.Click("#tick-pu-0 + label")
	e.Click("#tick-pu-2 + label")
	e.Screenshot("recipients-ticked")
	e.Accessible()
	e.Click("Plan a replay of those who are ticked")
	e.Sees("2 alerts would be repeated.")
	e.Click("#user-pu-0 + label")
	e.Sees("1 alert would be repeated.")
	e.Accessible()
	e.Type("Why are you repeating these alerts?", "Only this one")
	e.Click("Make the plan")
	e.Sees("1 alert would be repeated", "of 1 chosen recipient")
	e.Click("Start the replay")
	e.Sees("1 of 1 (100%)")
	e.Done()
}

// Errors in a plan are at their fields, and nothing is planned. Staff without the permission
// can't open the pages.
func TestWrongPlans(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	olga := s.Staff(t, "Olga Operator", policy.ReplayDeliveries)
	before := s.Keeps(t)
	for field, typed := range map[string]url.Values{
		"message": {"message": {"17"}, "why": {"x"}}, "state": {"state": {"accepted"}, "why": {"x"}}, "why": {"why": {" "}},
		"from": {"from": {"noon"}, "why": {"x"}}, "to": {"from": {"2026-02-01T10:00"}, "to": {"2026-01-01T10:00"}, "why": {"x"}}, "domain": {"domain": {"a@b.test"}, "why": {"x"}},
		"because": {"because": {strings.Repeat("x", 501)}, "why": {"x"}},
	} {
		olga.Post("/operations/replays", typed).Is(http.StatusUnprocessableEntity).HasHTML(`href="#` + field + `"`)
	}
	// All errors are shown at once, in the order of the fields.
	all := olga.Post("/operations/replays", url.Values{"message": {"17"}, "state": {"accepted"}, "because": {strings.Repeat("x", 501)}, "domain": {"a@b.test"},
		"from": {"noon"}, "to": {"midnight"}, "why": {" "}}).Is(http.StatusUnprocessableEntity)
	at := -1
	for _, field := range []string{"message", "state", "domain", "from", "to", "because", "why"} {
		next := strings.Index(all.Body, `href="#`+field+`"`)
		if next <= at {
			t.Errorf("the error of %s is missing or out of order", field)
		}
		at = next
	}
	if after := s.Keeps(t); after.Events != before.Events {
		t.Error("a wrong plan was recorded")
	}
	olga.Get("/operations/replays/17").Is(http.StatusNotFound)
	olga.Get("/operations/replays/" + uuid.NewString()).Is(http.StatusNotFound)
	rae := s.Staff(t, "Rae Reception", policy.SendPortalMessage)
	rae.Get("/operations/replays").Is(http.StatusForbidden).LacksHTML("Operations")
	rae.Post("/operations/replays", url.Values{"why": {"x"}}).Is(http.StatusForbidden)
}

// Without scripts, the buttons control a replay, and an action that is too late gives an
// error.
func TestAReplayIsControlled(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	blast(t, s, 4)
	olga := s.Staff(t, "Olga Operator", policy.ReplayDeliveries)
	plan := olga.Post("/operations/replays", url.Values{"why": {"again"}}).Is(http.StatusOK).Says("2 alerts would be repeated")
	path := plan.URL.Path
	do := func(what string, more ...string) *webtest.Page {
		form := url.Values{"do": {what}}
		for i := 0; i < len(more); i += 2 {
			form.Set(more[i], more[i+1])
		}
		return olga.Post(path, form)
	}
	do("start", "rate", "fast").Is(http.StatusUnprocessableEntity).HasHTML(`href="#rate"`, `value="fast"`)
	do("pause").Is(http.StatusConflict).Says("the replay has not been started yet")
	do("start", "rate", "1").Is(http.StatusOK).Says("You started the replay.", "1 alert a minute")
	do("pause").Is(http.StatusOK).Says("Paused", "Nothing more is sent")
	do("resume").Is(http.StatusOK).Says("Going out")
	do("cancel").Is(http.StatusOK).Says("Cancelled", "Alerts that were already sent are not affected")
	do("start").Is(http.StatusConflict).Says("the replay was cancelled: plan a new one")
}

// The pages of replays are in Spanish, too. What people and SendGrid wrote stays as it is.
func TestReplaysInSpanish(t *testing.T) {
	t.Parallel()
	s := webtest.New(t, func(c *process.WebConfig) { c.Language = language.Spanish })
	id := blast(t, s, 4)
	olga := s.Staff(t, "Olga Operator", policy.ReplayDeliveries)
	olga.Get("/operations/replays").Is(http.StatusOK).Says("Todavía no hay reenvíos.")
	olga.Get("/operations/replays/new?message="+id).Is(http.StatusOK).Says("por Sam Sender: 2 fallidos, 0 desconocidos", "Se repetirían 2 avisos.", "2: The mailbox is full.")
	olga.Post("/operations/replays", url.Values{"why": {" "}, "domain": {"a@b.test"}}).Is(http.StatusUnprocessableEntity).
		Says("El dominio no es lo que sigue", "Escriba por qué repite los avisos, en 1 a 500 caracteres")
	plan := olga.Post("/operations/replays", url.Values{"message": {id}, "because": {"The mailbox is full."}, "why": {"again"}}).Is(http.StatusOK).
		Says("El plan se ha creado.", "Planificado", "Se repetirían 2 avisos.", "Avisos fallidos o desconocidos, con el motivo «The mailbox is full.»", ", por Olga Operator")
	path := plan.URL.Path
	olga.Post(path, url.Values{"do": {"start"}, "rate": {"1"}}).Is(http.StatusOK).Says("Ha iniciado el reenvío.", "1 aviso por minuto")
	olga.Post(path, url.Values{"do": {"pause"}}).Is(http.StatusOK).Says("En pausa", "No se envía nada más hasta que se reanude el reenvío.")
	olga.Fragment(path + "/progress?seen=running-0").Is(http.StatusOK).Says("En pausa. Terminado: ")
	olga.Get("/operations/replays").Is(http.StatusOK).Says("Reenvíos, primero los más recientes", "again", "En pausa")
}

// While alerting is paused, the replay's page, the list and Operations show which pause
// holds the replay, and how many alerts. After the pause the alerts are sent.
func TestAHeldReplayShowsThePause(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	id := blast(t, s, 4)
	s.Refuse(func(string) string { return "" })
	olga := s.Staff(t, "Olga Operator", policy.ReplayDeliveries)
	path := olga.Post("/operations/replays", url.Values{"why": {"again"}}).Is(http.StatusOK).URL.Path
	olga.Post("/operations/alerting/pause", url.Values{"message": {id}, "reason": {"the wrong list"}}).Is(http.StatusOK)
	olga.Post(path, url.Values{"do": {"start"}}).Is(http.StatusOK).Says("Held by a pause", "2 alerts are held by a pause", "The alerts of message "+id, "the wrong list").
		LacksHTML("The alerts are going out")
	olga.Get("/operations/replays").Is(http.StatusOK).Says("Held by a pause")
	olga.Get("/operations").Is(http.StatusOK).Says("2 alerts in 1 chunk: held by a pause, of message "+id, "the wrong list")
	olga.Fragment(path+"/progress?seen=running-0").Is(http.StatusOK).Says("Held by a pause", "the wrong list")

	olga.Post("/operations/alerting/pause", url.Values{"reason": {"all of it"}}).Is(http.StatusOK)
	olga.Get(path).Says("All alerting has been paused", "all of it").LacksHTML("The alerts of message " + id + " have been paused")
	olga.Post("/operations/alerting/resume", url.Values{"reason": {"over"}}).Is(http.StatusOK)
	olga.Get(path).Says("The alerts of message "+id, "the wrong list")
	olga.Post("/operations/alerting/resume", url.Values{"message": {id}, "reason": {"over"}}).Is(http.StatusOK)
	for done := ""; done != "completed"; {
		if err := s.Admin.QueryRow(t.Context(), `SELECT status FROM record.replays`).Scan(&done); err != nil {
			t.Fatal(err)
		}
	}
	olga.Get(path).Says("Done", "2 of 2").LacksHTML("Held by a pause")
}

// A sender who may replay sends the alert again to those who have not opened the message. The plan
// says to whom no alert can be sent.
func TestErrandAlertAgainFromUnread(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	id := blast(t, s, 4)
	sam := s.NewStaff(t, "Olga Operator", policy.ReplayDeliveries, policy.SendPortalMessage)
	s.Exec(t, `UPDATE record.messages SET sender_id = $1`, sam.ID)
	s.Refuse(func(string) string { return "" })
	e := webtest.StaffErrand(t, s, sam)
	e.Click("Messages")
	e.Click("Not opened yet")
	e.Type("Days since delivery", "0")
	e.Click("Show")
	e.Click("Tick Name of pu-0 for message " + id)
	e.Click("Tick Name of pu-3 for message " + id)
	e.Accessible()
	e.Screenshot("unread")
	e.Click("Send the alert again")
	e.Sees("1 alert would be repeated.", "1 ticked recipient has no alert that failed or is unknown", "Name of pu-0")
	e.Type("Why are you repeating these alerts?", "They have not opened it")
	e.Click("Make the plan")
	e.Click("Start the replay")
	e.Sees("Done")
	e.Done()

	v := s.Staff(t, "Val Operator", policy.ReplayDeliveries)
	v.Post("/operations/replays/new", url.Values{"ticked": {"true"}}).Is(http.StatusForbidden)
	v.Post("/operations/replays/new", url.Values{"delivery": {id + " pu-0", uuid.NewString() + " pu-1"}}).Is(http.StatusUnprocessableEntity).Says("You ticked recipients of several messages.")
}
