package api_test

import (
	"bufio"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp/totp"

	"postern/internal/access/policy"
)

// Disabling ends a staff member's access at once, and their scheduled messages can be
// cancelled.
func TestDisablingStaff(t *testing.T) {
	s := newSystem(t)
	boss, ada := s.staff(t, "Boss", policy.ManageStaff), s.staff(t, "Ada", policy.SendPortalMessage)
	s.PortalUser(t, "pu-1")
	post := func(c *client, path string, status int) *reply {
		t.Helper()
		return c.post(path, nil).is(status)
	}
	scheduled := ada.json(http.MethodPost, "/v1/messages", map[string]any{"subject": "Later", "body": "x",
		"recipients": map[string]any{"portal_user_ids": []string{"pu-1"}}, "send_at": time.Now().Add(50 * time.Hour)},
		"Idempotency-Key", uuid.NewString()).is(http.StatusAccepted)
	s.Settle(t)

	if got := post(boss, "/v1/staff/"+boss.id+"/disable", http.StatusConflict); got.at("type") != "/problems/own-account" {
		t.Errorf("oneself: %s", got.body)
	}
	if got := post(boss, "/v1/staff/"+ada.id+"/cancel-scheduled", http.StatusConflict); got.at("type") != "/problems/staff-not-disabled" {
		t.Errorf("of who is not disabled: %s", got.body)
	}
	if got := post(boss, "/v1/staff/"+ada.id+"/disable", http.StatusOK); got.at("disabled") != true {
		t.Errorf("it is answered with %s", got.body)
	}
	ada.get("/v1/staff").is(http.StatusUnauthorized)
	out := s.anonymous(t)
	wrong := out.post("/v1/session", map[string]any{"email": ada.email, "password": "a guess at it"}).is(http.StatusUnauthorized)
	right := out.post("/v1/session", map[string]any{"email": ada.email, "password": password}).is(http.StatusUnauthorized)
	if string(wrong.body) != string(right.body) {
		t.Errorf("a disabled account is told from a wrong password: %s, %s", wrong.body, right.body)
	}
	if got := post(boss, "/v1/staff/"+ada.id+"/cancel-scheduled", http.StatusOK); got.at("cancelled") != 1.0 {
		t.Errorf("it is answered with %s", got.body)
	}
	if status := s.status(t, scheduled.text("id")); status != "cancelled" {
		t.Errorf("the message is %s", status)
	}
	if got := post(boss, "/v1/staff/"+ada.id+"/cancel-scheduled", http.StatusOK); got.at("cancelled") != 0.0 {
		t.Errorf("once more: %s", got.body)
	}
	if got := post(boss, "/v1/staff/"+ada.id+"/enable", http.StatusOK); got.at("disabled") != nil {
		t.Errorf("it is answered with %s", got.body)
	}
	ada.get("/v1/staff").is(http.StatusUnauthorized) // the token is of before
	out.post("/v1/session", map[string]any{"email": ada.email, "password": password}).is(http.StatusOK)
}

// An open stream ends when the account is disabled: the event of the change wakes it.
func TestAStreamEndsWithTheAccount(t *testing.T) {
	s := newSystem(t)
	boss, ada := s.staff(t, "Boss", policy.ManageStaff), s.staff(t, "Ada", policy.SendPortalMessage)
	s.PortalUser(t, "pu-1")
	id := ada.send(map[string]any{"subject": "Later", "body": "x", "recipients": map[string]any{"portal_user_ids": []string{"pu-1"}}, "undo_seconds": 600})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v1/messages/"+id+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+ada.token)
	res, err := ada.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() || lines.Text() != "event: progress" {
		t.Fatalf("the stream begins with %q", lines.Text())
	}
	boss.post("/v1/staff/"+ada.id+"/disable", nil).is(http.StatusOK)
	for lines.Scan() { // until it ends
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
}

// status reads the status of a message.
func (s *system) status(t *testing.T, id string) (status string) {
	t.Helper()
	if err := s.Admin.QueryRow(t.Context(), `SELECT status FROM record.messages WHERE message_id = $1`, id).Scan(&status); err != nil {
		t.Fatal(err)
	}
	return status
}

// Staff who have a second factor sign in with a code too; the type of the problem says so.
func TestSigningInWithACode(t *testing.T) {
	s := newSystem(t)
	boss, ada := s.staff(t, "Boss", policy.ManageStaff), s.staff(t, "Ada", policy.SendPortalMessage)
	who, err := s.gate.SubjectOfToken(t.Context(), ada.token)
	if err == nil {
		err = s.gate.Enrol(t.Context(), who)
	}
	if err != nil {
		t.Fatal(err)
	}
	made, err := s.gate.Enrolling(t.Context(), who)
	if err != nil {
		t.Fatal(err)
	}
	code := func() string {
		t.Helper()
		code, err := totp.GenerateCode(made.Secret, s.Clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	recovery, err := s.gate.AddFactor(t.Context(), who, password, code())
	if err != nil {
		t.Fatal(err)
	}
	s.Clock.Advance(time.Minute)
	signIn := func(totp, kind string, status int) {
		t.Helper()
		credentials := map[string]any{"email": ada.email, "password": password}
		if totp != "" {
			credentials["totp"] = totp
		}
		got := s.anonymous(t).post("/v1/session", credentials).is(status)
		if status != http.StatusOK && got.at("type") != "/problems/"+kind {
			t.Errorf("it is answered with %s, want %s", got.body, kind)
		}
	}
	signIn("", "second-factor-required", http.StatusUnauthorized)
	signIn("000000", "wrong-code", http.StatusUnauthorized)
	signIn(code(), "", http.StatusOK)
	signIn(code(), "wrong-code", http.StatusUnauthorized) // a second time
	signIn(recovery[0], "", http.StatusOK)
	if got := s.anonymous(t).post("/v1/session", map[string]any{"email": ada.email, "password": "wrong", "totp": code()}).is(http.StatusUnauthorized); got.at("type") != "/problems/wrong-credentials" {
		t.Errorf("with a wrong password: %s", got.body)
	}
	boss.do(http.MethodDelete, "/v1/staff/"+ada.id+"/second-factor", nil).is(http.StatusNoContent)
	signIn("", "", http.StatusOK)
}
