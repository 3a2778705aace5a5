package compose_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/access/policy"
	"postern/internal/compose/composetest"
	"postern/internal/text/zone"
	"postern/internal/web/webtest"
)

// check presses "Check before you send".
func (w *writer) check(typed url.Values) *webtest.Page {
	w.t.Helper()
	return w.press("check", typed)
}

// confirmation is the form of the page of the check.
func confirmation(p *webtest.Page, confirm string) url.Values {
	all := url.Values{"confirm": {confirm}}
	for _, found := range hidden.FindAllStringSubmatch(p.Body, -1) {
		all.Set(found[1], html.UnescapeString(found[2]))
	}
	return all
}

// A message to two people is checked and sent. Its sender can undo it for ten seconds, and
// its draft is gone.
func TestAMessageIsCheckedAndSent(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "ann")
	s.NewPortalUser(t, "ben")
	s.Exec(t, `UPDATE app.portal_users SET email = '' WHERE portal_user_id = 'ann'`)
	bo := s.NewStaff(t, "Bo Berg")
	w := compose(t, s.Staff(t, "Sam Sender", policy.SendPortalMessage))
	w.press("add-user:ann", nil)
	w.press("add-user:ben", nil)
	w.press("add-bcc:"+bo.ID, nil)
	w.attach("attach", text("Aftercare", ""), file{"note.txt", []byte("Hello")})
	page := w.check(text("Aftercare", "Read <b>this</b>:\nhttps://clinic.example/a?b=1&c=2."))
	page.Is(http.StatusOK).Says("Check before you send", "2 portal users", "Chosen by name 2",
		"1 portal user without an e-mail address", "Name of ann", "Aftercare", "From Sam Sender", "Read <b>this</b>:", "note.txt 5 bytes",
		"Documents are not checked for viruses, because no virus scanner is set up.", "Staff Bcc Bo Berg", "When Now", "For 10 seconds after you press Send, you can undo it.").
		HasHTML(`href="https://clinic.example/a?b=1&amp;c=2"`).LacksHTML("<b>this</b>", `name="confirm"`)
	page.Says("they can’t sign in to the portal, so they won’t see this message there").LacksHTML("next sign in")
	w.Get(w.at+"/letters").Is(http.StatusOK).Says("1–1 of 1 portal user", "Name of ann", "Send them a letter").LacksHTML("Name of ben")
	w.Get(w.at+"/recipients").Is(http.StatusOK).Says("1–2 of 2 portal users", "Name of ann", "Name of ben")
	letters := w.Get(w.at + "/letters.csv").Is(http.StatusOK)
	if rows := strings.Split(letters.Body, "\r\n"); len(rows) != 3 || rows[0] != "\ufeffportal_user_id,name,who" || !strings.HasPrefix(rows[1], "ann,Name of ann,") {
		t.Errorf("the file is %q", letters.Body)
	}
	if got := letters.Header.Get("Content-Disposition"); strings.Contains(got, "ann") || !strings.Contains(got, "letters-") {
		t.Errorf("it is saved as %s", got)
	}
	s.Staff(t, "Eve", policy.SendPortalMessage).Get(w.at + "/letters").Is(http.StatusNotFound)
	if page.URL.Path != w.at+"/check" {
		t.Errorf("the check is at %s", page.URL)
	}
	sent := w.Post(w.at+"/check", confirmation(page, "")).Is(http.StatusOK).Says("The message goes out in", "Aftercare", "Undo")
	id := strings.TrimPrefix(sent.URL.Path, "/messages/")
	w.Get("/messages/drafts").Says("No drafts.")
	w.Get(w.at).Is(http.StatusNotFound)
	w.Post("/messages/"+id+"/cancel", nil).Is(http.StatusOK)
	var status string
	if err := s.Admin.QueryRow(t.Context(), `SELECT status FROM record.messages WHERE message_id = $1`, id).Scan(&status); err != nil || status != "cancelled" {
		t.Errorf("after Undo the message is %q, %v", status, err)
	}
}

// Pressing Send twice, at once or later, sends one message and opens it both times.
func TestSendingTwiceIsOneMessage(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "ann")
	w := compose(t, sender(t, s))
	w.press("add-user:ann", nil)
	send := confirmation(w.check(text("Once", "text")), "")
	led := make([]string, 4)
	var pressing sync.WaitGroup
	for i := range 3 {
		pressing.Go(func() { led[i] = w.Post(w.at+"/check", send).URL.Path })
	}
	pressing.Wait()
	led[3] = w.Post(w.at+"/check", send).Is(http.StatusOK).URL.Path
	for _, to := range led {
		if to != led[0] || !strings.HasPrefix(to, "/messages/") || strings.Contains(to, "drafts") {
			t.Errorf("pressing Send redirected to %q", led)
		}
	}
	s.Settle(t)
	if n := count(t, s, messages); n != 1 {
		t.Errorf("there are %d messages", n)
	}
	send.Set("key", "made-up")
	w.Post(w.at+"/check", send).Is(http.StatusNotFound)
}

// For a group, the check shows the included and excluded portal users with reasons. It asks
// for the number, and refuses a wrong one.
func TestABulkSendIsConfirmedByItsCount(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	for i := range 12 {
		s.System.PortalUser(t, fmt.Sprintf("user-%02d", i))
	}
	s.Exec(t, `UPDATE app.portal_users SET active = false WHERE portal_user_id = 'user-00'`)
	s.Exec(t, `UPDATE app.patients SET deceased = true WHERE patient_id = 'pt-user-01'`)
	w := compose(t, sender(t, s))
	w.press("add-group:active_patients", nil)
	page := w.check(text("Holidays", "We are closed.")).Is(http.StatusOK).
		Says("10 portal users", "Portal Users - Active Patients", "Linked to an active patient 10", "The account is not active 1",
			"The patient has died 1", "Type 10 to confirm")
	w.Get(w.at+"/recipients").Is(http.StatusOK).Says("Name of user-02", "Name of user-11").LacksHTML("Name of user-00", "Name of user-01")
	for _, wrong := range []string{"", "9", "ten"} {
		w.Post(w.at+"/check", confirmation(page, wrong)).Is(http.StatusUnprocessableEntity).Says("There is a problem", "Type the number of recipients").HasHTML(`value="` + wrong + `"`)
	}
	if n := count(t, s, sends); n != 0 {
		t.Fatalf("%d sends without the right number", n)
	}
	w.Post(w.at+"/check", confirmation(page, " 10 ")).Is(http.StatusOK).Says("The message goes out in")
}

// The recipients are listed a page at a time.
func TestTheAudienceIsListedInPages(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	for i := range 60 {
		s.System.PortalUser(t, fmt.Sprintf("user-%02d", i))
	}
	w := compose(t, sender(t, s))
	w.press("add-group:all_portal_users", nil)
	w.check(text("Hello", "text")).Says("See all 60 portal users", "Name of user-09").LacksHTML("Name of user-10")
	first := w.Get(w.at+"/recipients").Is(http.StatusOK).Says("1–50 of 60 portal users", "Name of user-00", "Name of user-49", "Has an account").LacksHTML("Name of user-50")
	next := regexp.MustCompile(`href="([^"]+cursor=[^"]+)"`).FindStringSubmatch(first.Body)
	w.Get(html.UnescapeString(next[1])).Is(http.StatusOK).Says("51–60 of 60 portal users", "Name of user-50", "Name of user-59", "First page").LacksHTML("Next page")
	w.Get(w.at + "/letters").Is(http.StatusOK).Says("All recipients have an e-mail address.").LacksHTML("0 portal users")
	w.Get(w.at + "/recipients?cursor=x").Is(http.StatusNotFound)
}

// If the audience has changed since the check, nothing is sent: the page shows the changes
// and asks again.
func TestAChangedAudienceIsShownAgain(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.System.PortalUser(t, "ann")
	w := compose(t, sender(t, s))
	w.press("add-group:active_patients", nil)
	page := w.check(text("Hello", "text")).Is(http.StatusOK).Says("1 portal user")
	s.System.PortalUser(t, "ben")
	again := w.Post(w.at+"/check", confirmation(page, "1")).Is(http.StatusConflict).
		Says("The recipients have changed since you checked them", "there were 1. Now there are 2.", "Linked to an active patient 1 2", "Type 2 to confirm", "Name of ben")
	s.Exec(t, `UPDATE app.patients SET status = 'discharged' WHERE patient_id = 'pt-ann'`)
	s.System.PortalUser(t, "cy")
	again = w.Post(w.at+"/check", confirmation(again, "2")).Is(http.StatusConflict).Says("The same number as before, but not the same people.")
	if n := count(t, s, sends); n != 0 {
		t.Fatalf("%d sends", n)
	}
	w.Post(w.at+"/check", confirmation(again, "2")).Is(http.StatusOK).Says("The message goes out")
}

// A draft that was changed in another tab after the check must be checked again.
func TestADraftThatChangedIsCheckedAgain(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.System.PortalUser(t, "ann")
	w := compose(t, sender(t, s))
	w.press("add-user:ann", nil)
	page := w.check(text("Before", "text"))
	w.see(w.Get(w.at))
	w.press("save", text("After", "text"))
	again := w.Post(w.at+"/check", confirmation(page, "")).Is(http.StatusConflict).Says("changed since you checked it", "After")
	w.Post(w.at+"/check", confirmation(again, "")).Is(http.StatusOK).Says("The message goes out", "After")
}

// A message is scheduled for a date and time in the clinic's time zone.
func TestAMessageIsScheduled(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.System.PortalUser(t, "ann")
	w := compose(t, sender(t, s))
	w.page.Says("In the clinic’s time zone, Europe/Berlin (CE", "where it is now")
	w.press("add-user:ann", nil)
	at := time.Now().AddDate(0, 0, 3)
	later := text("Later", "text")
	for name, value := range map[string]string{"when": "later", "send-day": at.Format("2"), "send-month": at.Format("1"), "send-year": at.Format("2006"), "send-time": "9:30 am"} {
		later.Set(name, value)
	}
	page := w.check(later).Is(http.StatusOK).Says(at.Format("2 January 2006")+", 9:30 am CE", "the clinic’s time zone", "Schedule message", "cancel it until it goes out")
	w.Post(w.at+"/check", confirmation(page, "")).Is(http.StatusOK).Says("Scheduled The message goes out " + at.Format("2 January 2006") + ", 9:30 am CE")
	var release time.Time
	if err := s.Admin.QueryRow(t.Context(), `SELECT release_at FROM app.sends`).Scan(&release); err != nil {
		t.Fatal(err)
	}
	if want := time.Date(at.Year(), at.Month(), at.Day(), 9, 30, 0, 0, zone.Clinic()); !release.Equal(want) {
		t.Errorf("released at %v, want %v", release, want)
	}
}

// clockChange returns the next day on which the clocks show 2:30 am so many times: twice in
// autumn, never in spring.
func clockChange(t *testing.T, times int) zone.Wall {
	t.Helper()
	for at := time.Now().AddDate(0, 0, 1); at.Before(time.Now().AddDate(1, 0, 1)); at = at.AddDate(0, 0, 1) {
		wall := zone.Wall{Year: at.Year(), Month: at.Month(), Day: at.Day(), Hour: 2, Minute: 30}
		if len(wall.Times(zone.Clinic())) == times {
			return wall
		}
	}
	t.Fatal("the clocks do not change")
	return zone.Wall{}
}

// Where the clocks go back, the sender says which of the two times is meant. Where they go
// forward, the page names the next time. Both work without scripts.
func TestTheClocksChange(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.System.PortalUser(t, "ann")
	w := compose(t, sender(t, s))
	w.press("add-user:ann", nil)
	on := func(wall zone.Wall, offset string) url.Values {
		typed := text("Later", "text")
		for name, value := range map[string]string{"when": "later", "send-day": strconv.Itoa(wall.Day), "send-month": strconv.Itoa(int(wall.Month)),
			"send-year": strconv.Itoa(wall.Year), "send-time": "2:30 am", "send-offset": offset} {
			typed.Set(name, value)
		}
		return typed
	}
	never, twice := clockChange(t, 0), clockChange(t, 2)
	w.check(on(never, "")).Is(http.StatusUnprocessableEntity).HasHTML(`href="#send-time"`).
		Says("The clocks go forward on that day and skip this time: the next one is 3:00 am (UTC+02:00)").LacksHTML("send-offset")
	w.see(w.Get(w.at))
	w.check(on(twice, "")).Is(http.StatusUnprocessableEntity).HasHTML(`href="#send-offset"`).
		Says("show this time twice: choose the first (UTC+02:00) or the second (UTC+01:00)", "The first: 2:30 am CEST (UTC+02:00)", "The second, after the clocks went back: 2:30 am CET (UTC+01:00)")
	w.see(w.Get(w.at))
	page := w.check(on(twice, "UTC+01:00")).Is(http.StatusOK).Says("2:30 am CET (UTC+01:00), in the clinic’s time zone, Europe/Berlin")
	w.Get(w.at).HasHTML(`value="UTC&#43;01:00" checked`)
	w.Post(w.at+"/check", confirmation(page, "")).Is(http.StatusOK).Says("2:30 am CET (UTC+01:00)")
	var release time.Time
	if err := s.Admin.QueryRow(t.Context(), `SELECT release_at FROM app.sends`).Scan(&release); err != nil {
		t.Fatal(err)
	}
	if want := twice.Times(zone.Clinic())[1]; !release.Equal(want) {
		t.Errorf("released at %v, want %v", release, want)
	}
}

// Errors are listed at the top and linked to their fields, and the typed values stay.
func TestWrongInput(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.System.PortalUser(t, "ann")
	v := sender(t, s)
	when := func(day, month, year, clock string) url.Values {
		typed := text("Subject", "text")
		for name, value := range map[string]string{"when": "later", "send-day": day, "send-month": month, "send-year": year, "send-time": clock} {
			typed.Set(name, value)
		}
		return typed
	}
	past, far := time.Now().AddDate(0, 0, -1), time.Now().AddDate(2, 0, 0)
	for name, c := range map[string]struct {
		typed url.Values
		empty bool // without a recipient
		field string
		says  string
	}{
		"no recipient":      {text("Subject", "text"), true, "find-user", "Add at least one recipient."},
		"no subject":        {text(" ", "text"), false, "subject", "Enter a subject."},
		"no message":        {text("Subject", "\r\n "), false, "message", "Enter a message."},
		"a long subject":    {text(strings.Repeat("é", 201), "text"), false, "subject", "The subject has 201 characters; at most 200 are allowed."},
		"a long message":    {text("Subject", strings.Repeat("é", 100_001)), false, "message", "The message has 100001 characters; at most 100000 are allowed."},
		"two lines":         {text("Sub\nject", "text"), false, "subject", "The subject holds the control character"},
		"no such day":       {when("31", "2", "2027", "9:30"), false, "send-day", "Enter a real date"},
		"no such time":      {when("1", "2", "2027", "later"), false, "send-time", "Enter a time"},
		"in the past":       {when(past.Format("2"), past.Format("1"), past.Format("2006"), "9:30"), false, "send-day", "The date and time must be in the future."},
		"too far off":       {when(far.Format("2"), far.Format("1"), far.Format("2006"), "9:30"), false, "send-day", "The date must be within 366 days from now."},
		"no day or time":    {when("31", "2", "2027", "25:99"), false, "send-day", "Enter a real date"},
		"nor a time or day": {when("31", "2", "2027", "25:99"), false, "send-time", "Enter a time"},
		"everything":        {when("", "", "", ""), true, "send-day", "Enter a real date"},
		"an escaped value":  {text(`"><script>`, ""), false, "message", "Enter a message."},
	} {
		t.Run(name, func(t *testing.T) {
			w := compose(t, v)
			w.t = t
			if !c.empty {
				w.press("add-user:ann", nil)
			}
			p := w.check(c.typed).Is(http.StatusUnprocessableEntity).Says("There is a problem", c.says).
				HasHTML(`href="#`+c.field+`"`, `id="`+c.field+`-error"`, html.EscapeString(strings.TrimSpace(c.typed.Get("message")))).LacksHTML("<script>")
			if !strings.Contains(p.Body, "<title>Error: Patient Portal Message") {
				t.Error("the title does not announce an error")
			}
			w.Get(w.at + "/check").Is(http.StatusUnprocessableEntity).Says(c.says)
		})
	}
}

// While the record is unavailable, the page says so, and pressing Send again sends the same
// message. A draft that was changed after a try is not sent without another check.
func TestSendingWhileTheRecordIsUnavailable(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.System.PortalUser(t, "ann")
	v := sender(t, s)
	w := compose(t, v)
	w.press("add-user:ann", nil)
	page := w.check(text("Hello", "text"))
	s.Break(&composetest.Fault{Err: errors.New("no answer")})
	again := w.Post(w.at+"/check", confirmation(page, "")).Is(http.StatusServiceUnavailable).Says("can’t be recorded right now", "will not be sent twice")
	s.Break(nil)

	// The draft changes now, so the first try may have sent another version.
	w.see(v.Get(w.at))
	changed := w.check(text("Changed", "text")).Is(http.StatusOK)
	renewed := w.Post(w.at+"/check", confirmation(changed, "")).Is(http.StatusConflict).Says("was sent, or may have been sent")
	w.Post(w.at+"/check", confirmation(again, "")).Is(http.StatusConflict)
	w.Post(w.at+"/check", confirmation(renewed, "")).Is(http.StatusOK).Says("The message goes out", "Changed")

	// An unchanged draft is the same message as the first try.
	w = compose(t, v)
	w.press("add-user:ann", nil)
	page = w.check(text("Steady", "text"))
	s.Break(&composetest.Fault{Err: errors.New("the answer was lost"), After: true})
	again = w.Post(w.at+"/check", confirmation(page, "")).Is(http.StatusServiceUnavailable)
	s.Break(nil)
	w.Post(w.at+"/check", confirmation(again, "")).Is(http.StatusOK).Says("Steady")
	s.Settle(t)
	if n := count(t, s, messages); n != 2 {
		t.Errorf("there are %d messages, want 2", n)
	}
}

// A crash after the send leaves the draft. Its page says that it was sent, and sending it
// again gives the same message.
func TestADraftThatWasSentAlready(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.System.PortalUser(t, "ann")
	w := compose(t, sender(t, s))
	w.press("add-user:ann", nil)
	send := confirmation(w.check(text("Hello", "text")), "")
	s.Exec(t, `CREATE TABLE kept AS SELECT * FROM app.drafts`)
	to := w.Post(w.at+"/check", send).Is(http.StatusOK).URL.Path
	s.Exec(t, `INSERT INTO app.drafts SELECT * FROM kept`)
	w.Get(w.at + "/check").Is(http.StatusOK).Says("This draft was already sent").HasHTML(`href="` + to + `"`)
	if again := w.Post(w.at+"/check", send).Is(http.StatusOK).URL.Path; again != to {
		t.Errorf("sent again, it is %s and not %s", again, to)
	}
	w.Get(w.at).Is(http.StatusNotFound)
}

// A forged form is refused.
func TestAForgedConfirmationIsRefused(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.System.PortalUser(t, "ann")
	w := compose(t, sender(t, s))
	w.press("add-group:all_portal_users", nil)
	send := confirmation(w.check(text("Hello", "text")), "0")
	for _, was := range []string{"", "[]", "{}", `{"Count":0}`} {
		send.Set("was", was)
		w.Post(w.at+"/check", send).Is(http.StatusConflict).Says("The recipients have changed since you checked them")
	}
	lie, _ := json.Marshal(map[string]any{"Count": 7, "Digest": "sha256:x"})
	send.Set("was", string(lie))
	send.Set("confirm", "7")
	w.Post(w.at+"/check", send).Is(http.StatusConflict)
	if n := count(t, s, sends); n != 0 {
		t.Errorf("%d sends", n)
	}
}
