package api_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/access/policy"
)

// What a client sends to hang or break the process is answered like any other wrong
// input, and keeps nothing.
func TestHostileInput(t *testing.T) {
	w := newWorld(t)
	staff := w.staff
	send := func(subject, body, recipients string) func() *reply {
		return func() *reply {
			return staff.do(http.MethodPost, "/v1/messages", strings.NewReader(`{"subject":`+subject+`,"body":`+body+`,"recipients":`+recipients+`}`),
				"Content-Type", "application/json", "Idempotency-Key", "k")
		}
	}
	to := func(id string) string { return `{"portal_user_ids":[` + id + `]}` }
	preview := func(recipients string) func() *reply {
		return func() *reply {
			return staff.do(http.MethodPost, "/v1/recipients/preview", strings.NewReader(`{"recipients":`+recipients+`}`), "Content-Type", "application/json")
		}
	}
	deep := func(open, end string) string { return strings.Repeat(open, 200_000) + strings.Repeat(end, 200_000) }
	before := w.Keeps(t)
	for _, c := range []struct {
		name     string
		ask      func() *reply
		status   int
		location string
	}{
		{"NUL in the subject", send(`"a\u0000b"`, `"b"`, to(`"pu-1"`)), 422, "body.subject"},
		{"NUL in the body", send(`"s"`, `"a\u0000"`, to(`"pu-1"`)), 422, "body.body"},
		{"NUL in an id", send(`"s"`, `"b"`, to(`"pu\u0000"`)), 422, "body.recipients.portal_user_ids[0]"},
		{"NUL in a name of a field", send(`"s"`, `"b"`, `{"\u0000":1}`), 422, "body.recipients.\x00"},
		{"half a pair", send(`"\ud83d"`, `"b"`, to(`"pu-1"`)), 400, "body.subject"},
		{"the wrong half", send(`"s"`, `"\udc00\ud83d"`, to(`"pu-1"`)), 400, "body.body"},
		{"deep arrays", send(`"s"`, `"b"`, deep("[", "]")), 400, ""},
		{"deep objects", send(`"s"`, `"b"`, deep(`{"a":`, "}")), 400, ""},
		{"deep and never closed", preview(strings.Repeat("[", 500_000)), 400, ""},
		{"an id of 64", preview(to(`"` + strings.Repeat("x", 64) + `"`)), 422, "body.recipients.portal_user_ids[0]"},
		{"an id of 65", preview(to(`"` + strings.Repeat("x", 65) + `"`)), 422, "body.recipients.portal_user_ids[0]"},
		{"a path for an id", preview(to(`"../../etc/passwd"`)), 422, "body.recipients.portal_user_ids[0]"},
		{"an empty group", preview(`{"groups":[""]}`), 422, "body.recipients.groups[0]"},
		{"a group with NUL", preview(`{"groups":["\u0000"]}`), 422, "body.recipients.groups[0]"},
		{"no groups", send(`"s"`, `"b"`, `{"groups":[],"portal_user_ids":[]}`), 422, "body.recipients"},
		{"a long key", func() *reply {
			return staff.post("/v1/messages", letter("s", "pu-1"), "Idempotency-Key", strings.Repeat("k", 10_000))
		}, 422, "header.Idempotency-Key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.ask()
			if r.status != c.status {
				t.Fatalf("it is answered with %d, want %d: %.300s", r.status, c.status, r.body)
			}
			r.isProblem(t, c.location)
		})
	}
	if diff := cmp.Diff(before, w.Keeps(t)); diff != "" {
		t.Errorf("something was kept or published:\n%s", diff)
	}
}

// A body far beyond what is taken is not read to its end: it is answered, or broken off.
func TestAHundredMegabytes(t *testing.T) {
	w := newWorld(t)
	before := w.Keeps(t)
	for call, begin := range map[string]string{
		"/v1/messages": `{"subject":"`, "/v1/portal/session": `{"email":"`, "/webhooks/sendgrid": `[`, "/v1/recipients/preview": strings.Repeat(" ", 1<<20),
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+call, io.LimitReader(endless(begin), 100<<20))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", "k")
		r.Header.Set("Authorization", "Bearer "+w.staff.token)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			continue // broken off
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s is answered with %d", call, res.StatusCode)
		}
	}
	if diff := cmp.Diff(before, w.Keeps(t)); diff != "" {
		t.Errorf("something was kept or published:\n%s", diff)
	}
}

// endless begins so and never ends.
func endless(begin string) io.Reader {
	return io.MultiReader(strings.NewReader(begin), repeated{})
}

type repeated struct{}

func (repeated) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte("a"), len(p))), nil }

// What is odd and not wrong comes through as it was sent.
func TestOddInput(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	long := strings.Repeat("x", 64)
	s.PortalUser(t, "pu-1")
	s.Exec(t, `INSERT INTO app.portal_users (active, portal_user_id, name, email) VALUES (true, $1, 'Long', '')`, long)
	const subject = "👩🏽‍⚕️ résumé שלום مرحبا"
	same := make([]string, 1000)
	for i := range same {
		same[i] = []string{"pu-1", long}[i%2]
	}
	id := ada.send(letter(subject, same...))
	s.Settle(t)
	got := ada.get("/v1/messages/" + id).is(http.StatusOK)
	if got.text("subject") != subject {
		t.Errorf("the subject is %q", got.text("subject"))
	}
	if preview := ada.post("/v1/recipients/preview", map[string]any{"recipients": map[string]any{"portal_user_ids": same}}).is(http.StatusOK); preview.at("count") != 2.0 {
		t.Errorf("the preview is %s", preview.body)
	}
	if turned := ada.upload("annex\u202efdp.exe.pdf", pdf).is(http.StatusCreated).text("name"); turned != "annexfdp.exe.pdf" {
		t.Errorf("the file is called %q", turned)
	}
}

// A client that sends a byte now and then, or stops in the middle, is not waited for.
func TestNobodyHoldsAConnection(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	server := httptest.NewUnstartedServer(nil)
	server.Config = serve(s.api)
	if server.Config.ReadHeaderTimeout <= 0 || server.Config.ReadTimeout <= 0 || server.Config.WriteTimeout <= 0 || server.Config.IdleTimeout <= 0 {
		t.Errorf("a limit is missing: %+v", server.Config)
	}
	server.Config.ReadHeaderTimeout = 300 * time.Millisecond // the time of bodies: see package inbound
	server.Start()
	defer server.Close()
	authorized := "Authorization: Bearer " + ada.token + "\r\n"
	before := s.Keeps(t)
	for name, sent := range map[string]string{
		"nothing":           "",
		"half a line":       "GET /v1/mess",
		"no end of headers": "GET /v1/messages HTTP/1.1\r\nHost: x\r\n" + authorized,
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		answer, err := io.ReadAll(conn)
		if errors.Is(err, http.ErrHandlerTimeout) || isTimeout(err) {
			t.Errorf("%s is waited for", name)
		}
		if bytes.HasPrefix(answer, []byte("HTTP/1.1 2")) || bytes.HasPrefix(answer, []byte("HTTP/1.1 5")) {
			t.Errorf("%s is answered with %s", name, answer)
		}
		_ = conn.Close()
	}
	if diff := cmp.Diff(before, s.Keeps(t)); diff != "" {
		t.Errorf("something was kept:\n%s", diff)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
