package api_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose/composetest"
	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/process"
)

// A request that another site makes a browser send with its user's cookie is refused. A
// browser does not send a token by itself.
func TestRequestsFromOtherSites(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	cookie := s.anonymous(t)
	cookie.post("/v1/session", map[string]any{"email": ada.email, "password": password}).is(http.StatusOK)
	preview := map[string]any{"recipients": map[string]any{}}
	for _, elsewhere := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		refused := cookie.post("/v1/recipients/preview", preview, elsewhere...).is(http.StatusForbidden)
		if refused.at("type") != "/problems/cross-origin" {
			t.Errorf("it is answered with %s", refused.body)
		}
		s.anonymous(t).post("/v1/session", map[string]any{"email": ada.email, "password": password}, elsewhere...).is(http.StatusForbidden)
		ada.post("/v1/recipients/preview", preview, elsewhere...).is(http.StatusOK)
	}
	cookie.post("/v1/recipients/preview", preview, "Sec-Fetch-Site", "same-origin").is(http.StatusOK)
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	for _, path := range []string{"/v1/labels", "/v1/nothing", "/docs", "/healthz"} {
		got := ada.get(path)
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
			if got.header.Get(name) != want {
				t.Errorf("%s comes with %s: %q, want %q", path, name, got.header.Get(name), want)
			}
		}
	}
	if got := ada.do(http.MethodDelete, "/v1/messages", nil).is(http.StatusMethodNotAllowed); got.header.Get("Allow") != "GET, POST" {
		t.Errorf("it is said to take %q", got.header.Get("Allow"))
	}
	if got := ada.do(http.MethodDelete, "/v1/staff/"+ada.id, nil).is(http.StatusMethodNotAllowed); got.header.Get("Allow") != "PATCH" {
		t.Errorf("it is said to take %q", got.header.Get("Allow"))
	}
	if got := s.anonymous(t).get("/v1/labels").is(http.StatusUnauthorized); got.header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("it asks for %q", got.header.Get("WWW-Authenticate"))
	}
}

// An action that can't be recorded does not happen, shows nothing, and can be retried.
func TestWhileTheRecordIsAway(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage, policy.ManageLabels, policy.ManageStaff)
	pat := s.portalUser(t, "pu-1")
	up := ada.upload("a.pdf", pdf).is(http.StatusCreated).text("id")
	message := letter("s", "pu-1")
	message["attachment_ids"] = []string{up}
	id := ada.send(message)
	s.Deliver(t, uuid.MustParse(id))

	for _, fault := range []composetest.Fault{{Err: eventlog.ErrUnavailable}, {Err: context.DeadlineExceeded}, {Err: errors.New("no route to host")}} {
		s.Break(&fault)
		for name, ask := range map[string]func() *reply{
			"open":     func() *reply { return pat.get("/v1/portal/messages/" + id) },
			"download": func() *reply { return pat.get("/v1/portal/messages/" + id + "/attachments/" + up) },
			"send":     func() *reply { return ada.post("/v1/messages", message, "Idempotency-Key", "k") },
			"recall":   func() *reply { return ada.post("/v1/messages/"+id+"/recall", map[string]any{"reason": "x"}) },
		} {
			got := ask().is(http.StatusServiceUnavailable)
			got.isProblem(t, "")
			if got.header.Get("Retry-After") == "" || strings.Contains(string(got.body), "please read") || strings.Contains(string(got.body), "consent") {
				t.Errorf("%s is answered with %v %s", name, got.header, got.body)
			}
		}
		s.Break(nil)
	}
	s.Break(&composetest.Fault{Err: eventlog.ErrUnavailable})
	ada.json(http.MethodPut, "/v1/labels", map[string]any{"patient": map[string]any{"one": "a", "many": "b"}}).is(http.StatusServiceUnavailable)
	ada.json(http.MethodPut, "/v1/staff/"+ada.id+"/permissions", map[string]any{"permissions": []string{"manage_staff"}}).is(http.StatusServiceUnavailable)
	s.Break(nil)
	ada.post("/v1/messages", message, "Idempotency-Key", "k").is(http.StatusAccepted)
	pat.get("/v1/portal/messages/" + id).is(http.StatusOK)
}

// HEAD shows nothing, so it must not count as reading.
func TestHeadReadsNothing(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	pat := s.portalUser(t, "pu-1")
	id := ada.send(letter("s", "pu-1"))
	s.Deliver(t, uuid.MustParse(id))
	before := s.Settle(t)
	pat.do(http.MethodHead, "/v1/portal/messages/"+id, nil).is(http.StatusMethodNotAllowed)
	if after := s.Settle(t); after != before {
		t.Errorf("it left %d events", after-before)
	}
}

// Junk that proves nothing uses up no one's sign-ins, and neither do wrong posts to the
// webhook, requests of other sites and unknown addresses; and a stranger's guesses at an
// account make the stranger wait, and not whose account it is.
func TestAStrangerShutsNoDoor(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	stranger, home := []string{"X-Forwarded-For", "203.0.113.9"}, []string{"X-Forwarded-For", "198.51.100.7, 127.0.0.1"}
	c := s.anonymous(t)
	for range 700 {
		c.post("/v1/session", map[string]any{}, stranger...).is(http.StatusUnprocessableEntity)
	}
	for range 20 {
		c.do(http.MethodPost, "/v1/session", strings.NewReader("{"), append(stranger, "Content-Type", "application/json")...).is(http.StatusBadRequest)
		c.post("/v1/session", map[string]any{}, append(stranger, "Origin", "https://evil.example")...).is(http.StatusForbidden)
		c.post("/webhooks/sendgrid", []string{}, stranger...).is(http.StatusUnauthorized)
		c.get("/v1/nowhere").is(http.StatusNotFound)
	}
	guess := map[string]any{"email": ada.email, "password": "not it at all"}
	for range 5 {
		c.post("/v1/session", guess, stranger...).is(http.StatusUnauthorized)
	}
	if got := c.post("/v1/session", guess, stranger...).is(http.StatusTooManyRequests); got.header.Get("Retry-After") == "" {
		t.Errorf("it does not say when to try again: %v", got.header)
	}
	right := map[string]any{"email": ada.email, "password": password}
	c.post("/v1/session", right, stranger...).is(http.StatusTooManyRequests)
	// What a client claims in front of the proxy's word makes it no other client.
	c.post("/v1/session", right, "X-Forwarded-For", "198.51.100.7, 203.0.113.9").is(http.StatusTooManyRequests)
	at := s.anonymous(t)
	at.post("/v1/session", right, home...).is(http.StatusOK)
	at.get("/v1/session").is(http.StatusOK)
}

// A staff member who is refused again and again is on the record.
func TestRefusedOperationsAreRecorded(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	nosy, reviewer := s.staff(t, "Nosy", policy.SendPortalMessage), s.staff(t, "Rita", policy.ReadRecord)
	for range 25 { // more than ten in the same minute, whenever it begins
		nosy.get("/v1/record").is(http.StatusForbidden)
	}
	s.Clock.Advance(time.Minute)
	if err := s.gate.PublishCounts(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Settle(t)
	found := reviewer.get("/v1/record?type=actions.refused").is(http.StatusOK)
	if found.at("items.0.actor") != "staff:"+nosy.id || !strings.HasPrefix(found.text("items.0.summary"), "Nosy was refused ") {
		t.Errorf("the record has %s", found.body)
	}
}

// An internal error goes only to the log, with an id that the answer gives too.
func TestWhatGoesWrongIsLogged(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.ManageLabels)
	var log bytes.Buffer
	faulty := func(context.Context, ...events.Event) (uint64, error) { panic("a fault of ours") }
	broken := httptest.NewServer(s.wire(t, process.WebConfig{Publish: faulty, Logger: slog.New(slog.NewTextHandler(&log, nil))}).API)
	defer broken.Close()
	ada.url = broken.URL
	change := map[string]any{"patient": map[string]any{"one": "Xylophobic", "many": "Xylophobics"}}
	demand := func(got *reply, cause string) {
		t.Helper()
		got.is(http.StatusInternalServerError).isProblem(t, "")
		if said := log.String(); !strings.Contains(said, got.text("instance")) || !strings.Contains(said, cause) || strings.Contains(said, "Xylophobic") {
			t.Errorf("the log says %s", said)
		}
		if strings.Contains(string(got.body), cause) {
			t.Errorf("the answer says why: %s", got.body)
		}
	}
	demand(ada.json(http.MethodPut, "/v1/labels", change), "a fault of ours")
	s.Exec(t, `ALTER TABLE record.labels RENAME TO elsewhere`)
	demand(ada.json(http.MethodPut, "/v1/labels", change), "42P01")
}
