package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/content"
)

// A representative reads as long as one of the links lasts under which the
// message was delivered, judged when reading.
func TestALinkIsCheckedWhenReading(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	pat := s.portalUser(t, "pu-1")
	up := ada.upload("a.pdf", pdf).is(http.StatusCreated).text("id")
	message := letter("s", "pu-1")
	message["attachment_ids"] = []string{up}
	id := ada.send(message)
	s.Deliver(t, uuid.MustParse(id))
	// A link that began after the delivery is no authority for it.
	s.Exec(t, `INSERT INTO app.patients (status, patient_id) VALUES ('active', 'pt-late')`)
	for _, c := range []struct {
		change string
		status int
	}{
		{`UPDATE app.links SET valid_from = current_date, valid_until = current_date`, http.StatusOK},
		{`UPDATE app.links SET valid_from = NULL, valid_until = current_date - 1`, http.StatusNotFound},
		{`INSERT INTO app.links (portal_user_no, patient_no, relationship)
		  SELECT u.portal_user_no, p.patient_no, 'representative' FROM app.portal_users u, app.patients p WHERE patient_id = 'pt-late'`, http.StatusNotFound},
		{`UPDATE app.links SET valid_from = current_date + 1, valid_until = NULL WHERE relationship = 'self'`, http.StatusNotFound},
		{`UPDATE app.links SET valid_from = NULL WHERE relationship = 'self'`, http.StatusOK},
	} {
		s.Exec(t, c.change)
		list := len(pat.get("/v1/portal/messages").is(http.StatusOK).all("message_id"))
		if want := map[int]int{http.StatusOK: 1, http.StatusNotFound: 0}[c.status]; list != want {
			t.Errorf("after %s the inbox has %d messages, want %d", c.change, list, want)
		}
		pat.get("/v1/portal/messages/" + id).is(c.status)
		pat.get("/v1/portal/messages/" + id + "/attachments/" + up).is(c.status)
	}
	s.Exec(t, `UPDATE app.portal_users SET active = false`)
	pat.get("/v1/portal/messages").is(http.StatusUnauthorized)
}

// Opening many times, and at once, is one opening on the record; each download is
// one of its own.
func TestOpenedOnce(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	pat := s.portalUser(t, "pu-1")
	up := ada.upload("a.pdf", pdf).is(http.StatusCreated).text("id")
	message := letter("s", "pu-1")
	message["attachment_ids"] = []string{up}
	id := ada.send(message)
	s.Deliver(t, uuid.MustParse(id))
	done := make(chan int)
	for range 4 {
		go func() { done <- pat.get("/v1/portal/messages/" + id).status }()
	}
	for range 4 {
		if status := <-done; status != http.StatusOK {
			t.Errorf("opening is answered with %d", status)
		}
	}
	s.Settle(t)
	for range 2 {
		pat.get("/v1/portal/messages/" + id + "/attachments/" + up).is(http.StatusOK)
	}
	first := pat.get("/v1/portal/messages/" + id).is(http.StatusOK).text("opened_at")
	if again := pat.get("/v1/portal/messages/" + id).is(http.StatusOK).text("opened_at"); again != first {
		t.Errorf("opened again, it is said to have been opened at %s, and before at %s", again, first)
	}
	want := []string{"delivery.opened", "attachment.downloaded", "attachment.downloaded"}
	if diff := cmp.Diff(want, typesAfter(t, s, "fanout.completed")); diff != "" {
		t.Errorf("the record says (-want +got):\n%s", diff)
	}
}

// An inbox is walked to its end, newest first.
func TestInboxPages(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	pat := s.portalUser(t, "pu-1")
	var want []string
	for i := range 5 {
		id := ada.send(letter(fmt.Sprint(i), "pu-1"))
		s.Deliver(t, uuid.MustParse(id))
		want = append([]string{id}, want...)
	}
	var got []string
	for next := "/v1/portal/messages?limit=2"; next != ""; {
		page := pat.get(next).is(http.StatusOK)
		got = append(got, page.all("message_id")...)
		next = ""
		if cursor, ok := page.at("next_cursor").(string); ok {
			next = "/v1/portal/messages?limit=2&cursor=" + cursor
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the inbox shows (-want +got):\n%s", diff)
	}
}

// Content that can't be found although it was not erased is an error that says so, and
// never 410; the lists go on working.
func TestMissingContent(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	pat := s.portalUser(t, "pu-1")
	file := ada.upload("plan.pdf", pdf).is(http.StatusCreated).text("id")
	sent := letter("s", "pu-1")
	sent["attachment_ids"] = []string{file}
	id := ada.send(sent)
	message := uuid.MustParse(id)
	s.Deliver(t, message)
	before := s.Settle(t)
	for name, lose := range map[string]func(){
		"the body": func() { s.deleteContent(t, content.BodyOf(message)) },
		"the keys": func() { s.Lose(t, message) },
	} {
		lose()
		if got := pat.get("/v1/portal/messages/" + id).is(http.StatusInternalServerError); got.at("type") != "/problems/content-missing" ||
			!strings.Contains(got.text("detail"), "not erased") {
			t.Errorf("without %s it is answered with %s", name, got.body)
		}
		if full := ada.get("/v1/messages/" + id).is(http.StatusOK); full.at("content") != "missing" {
			t.Errorf("without %s its sender is shown %s", name, full.body)
		}
	}
	s.Lose(t, message)
	for _, one := range []struct {
		who  *client
		path string
	}{{pat, "/v1/portal/messages/" + id + "/attachments/" + file}, {ada, "/v1/messages/" + id + "/attachments/" + file}} {
		if got := one.who.get(one.path).is(http.StatusInternalServerError); got.at("type") != "/problems/content-missing" {
			t.Errorf("%s is answered with %s", one.path, got.body)
		}
	}
	for _, one := range []struct {
		who  *client
		path string
	}{{pat, "/v1/portal/messages"}, {ada, "/v1/messages"}} {
		if list := one.who.get(one.path).is(http.StatusOK); list.at("items.0.content") != "missing" || list.at("items.0.subject") != "" {
			t.Errorf("%s shows %s", one.path, list.body)
		}
	}
	if after := s.Settle(t); after != before {
		t.Error("what could not be read was recorded as opened")
	}
}

func (s *system) deleteContent(t *testing.T, name content.Name) {
	t.Helper()
	if err := s.Content.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

// What was erased is said to be, and can't be opened; the list goes on working.
func TestErasedMessages(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	pat := s.portalUser(t, "pu-1")
	id := ada.send(letter("s", "pu-1"))
	s.Deliver(t, uuid.MustParse(id))
	s.Erase(t, uuid.MustParse(id))
	before := s.Settle(t)
	if gone := pat.get("/v1/portal/messages/" + id).is(http.StatusGone); gone.at("type") != "/problems/message-erased" {
		t.Errorf("it is answered with %s", gone.body)
	}
	if list := pat.get("/v1/portal/messages").is(http.StatusOK); list.at("items.0.subject") != "" || list.at("items.0.content") != "erased" {
		t.Errorf("the inbox shows %s", list.body)
	}
	if full := ada.get("/v1/messages/" + id).is(http.StatusOK); full.at("content") != "erased" {
		t.Errorf("its sender is shown %s", full.body)
	}
	if after := s.Settle(t); after != before {
		t.Error("what could not be read was recorded as opened")
	}
}

// If a roster is lost, one can't say on whose account a delivery to a group was made: that message
// is not shown, and the other messages of the inbox are.
func TestAMissingRosterHidesOneMessage(t *testing.T) {
	s := newSystem(t)
	both := s.staff(t, "Ada Sender", policy.SendPortalMessage, policy.SendBulkPortalMessage)
	pat := s.portalUser(t, "pu-1")
	chosen := both.send(letter("To you", "pu-1"))
	s.Deliver(t, uuid.MustParse(chosen))
	toGroup := letter("To all")
	toGroup["recipients"] = map[string]any{"groups": []string{"active_patients"}}
	toGroup["undo_seconds"] = 0
	group := both.send(toGroup)
	s.Deliver(t, uuid.MustParse(group))
	if n := len(pat.get("/v1/portal/messages").is(http.StatusOK).all("id")); n != 2 {
		t.Fatalf("the inbox has %d messages", n)
	}
	s.Exec(t, `DELETE FROM app.block_rosters`)
	s.Exec(t, `DELETE FROM app.rosters`)
	if list := string(pat.get("/v1/portal/messages").is(http.StatusOK).body); !strings.Contains(list, chosen) || strings.Contains(list, group) {
		t.Errorf("the inbox is %s", list)
	}
	pat.get("/v1/portal/messages/" + chosen).is(http.StatusOK)
	pat.get("/v1/portal/messages/" + group).is(http.StatusServiceUnavailable)
}
