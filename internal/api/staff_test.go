package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp/totp"

	letters "postern/internal/access/letter"
	"postern/internal/access/oidc"
	"postern/internal/access/policy"
	"postern/internal/process"
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
	// Who manages staff sees who has which kinds.
	if got := string(boss.get("/v1/staff").is(http.StatusOK).body); strings.Count(got, `"second_factors":["totp"]`) != 1 {
		t.Errorf("the list is %s", got)
	}
	if got := string(ada.get("/v1/staff").is(http.StatusOK).body); strings.Contains(got, "second_factors") {
		t.Errorf("the list for others is %s", got)
	}
	boss.do(http.MethodDelete, "/v1/staff/"+ada.id+"/second-factor", nil).is(http.StatusNoContent)
	signIn("", "", http.StatusOK)
}

// Staff see who is linked to the organisation. An administrator ends a link, and its owner does
// with the password: then the session of the request ends too.
func TestUnlinkingByTheAPI(t *testing.T) {
	s := newSystem(t)
	boss, ada := s.staff(t, "Boss", policy.ManageStaff), s.staff(t, "Ada")
	link := func() {
		t.Helper()
		if _, err := s.gate.SignInByOrganisation(t.Context(), oidc.Identity{Issuer: "https://login.clinic.example", Subject: "1", Email: ada.email}); err != nil {
			t.Fatal(err)
		}
	}
	linked := func() any {
		t.Helper()
		list := boss.get("/v1/staff").is(http.StatusOK)
		if list.at("items.0.id") != ada.id || (list.at("items.0.linked_since") != nil) != list.at("items.0.linked").(bool) {
			t.Errorf("the list says %s", list.body)
		}
		return list.at("items.0.linked")
	}
	link()
	if linked() != true {
		t.Error("it is not linked")
	}
	boss.do(http.MethodDelete, "/v1/staff/"+ada.id+"/identity", nil).is(http.StatusNoContent)
	if linked() != false {
		t.Error("it is linked after an administrator unlinked it")
	}
	link()
	here := ada.session(s)
	here.post("/v1/session/unlink", map[string]any{"password": password}).is(http.StatusNoContent)
	here.get("/v1/sessions").is(http.StatusUnauthorized)
	if linked() != false {
		t.Error("it is linked after its owner unlinked it")
	}
}

// A portal user who has a second factor signs in with a code too. Staff with import_directory reset it.
func TestAPortalUserSignsInWithACode(t *testing.T) {
	s := newSystem(t)
	pat, desk := s.portalUser(t, "pat"), s.staff(t, "Desk", policy.ImportDirectory)
	who := policy.Subject{Realm: policy.RealmPortalUser, ID: pat.id}
	if err := s.gate.Enrol(t.Context(), who); err != nil {
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
	if _, err := s.gate.AddFactor(t.Context(), who, password, code()); err != nil {
		t.Fatal(err)
	}
	s.Clock.Advance(time.Minute)
	alone := map[string]any{"email": pat.email, "password": password}
	if got := s.anonymous(t).post("/v1/portal/session", alone).is(http.StatusUnauthorized); got.at("type") != "/problems/second-factor-required" {
		t.Errorf("the password alone is answered with %s", got.body)
	}
	s.anonymous(t).post("/v1/portal/session", map[string]any{"email": pat.email, "password": password, "totp": code()}).is(http.StatusOK)
	desk.do(http.MethodDelete, "/v1/portal-users/pat/second-factor", nil).is(http.StatusNoContent)
	s.anonymous(t).post("/v1/portal/session", alone).is(http.StatusOK)
}

// Where a second factor is required, signing in without one says so, and so does every operation
// after it. API tokens, also of before, need none.
func TestASecondFactorIsDue(t *testing.T) {
	s := newSystem(t, func(c *process.WebConfig) { c.FactorRequired = true })
	ada := s.staff(t, "Ada", policy.SendPortalMessage, policy.ManageStaff)
	session := s.anonymous(t)
	if got := session.post("/v1/session", map[string]any{"email": ada.email, "password": password}).is(http.StatusOK); got.at("second_factor_due") != true {
		t.Errorf("signing in is answered with %s", got.body)
	}
	for _, path := range []string{"/v1/messages", "/v1/staff", "/v1/session", "/v1/tokens"} {
		if got := session.get(path).is(http.StatusForbidden); got.at("type") != "/problems/second-factor-due" || !strings.Contains(got.text("detail"), "set one up at Account") {
			t.Errorf("%s is answered with %s", path, got.body)
		}
		if path != "/v1/session" {
			ada.get(path).is(http.StatusOK)
		}
	}
	session.do(http.MethodDelete, "/v1/session", nil).is(http.StatusNoContent)
}

// Staff are added by e-mail, with permissions that the record attributes to the
// administrator, and choose their own password.
func TestAddingStaff(t *testing.T) {
	box := &outbox{}
	s := newSystem(t, box.install)
	boss := s.staff(t, "Boss", policy.ManageStaff)
	new := map[string]any{"email": "noel@clinic.example", "name": "Noel Novice", "permissions": []string{"read_record"}}
	added := boss.post("/v1/staff", new).is(http.StatusCreated)
	if added.at("state") != "invited" || added.at("link_sent") != true || added.at("email") != "noel@clinic.example" || added.at("invited_until") == nil {
		t.Errorf("it is answered with %s", added.body)
	}
	id := added.text("id")
	if got := boss.get("/v1/staff/" + id + "/permissions").is(http.StatusOK); got.at("permissions.0") != nil || got.at("requested.0.permission") != "read_record" {
		t.Errorf("they hold %s", got.body)
	}
	list := boss.get("/v1/staff").is(http.StatusOK)
	if list.at("items.0.state") != "active" || list.at("items.1.state") != "invited" || list.at("items.1.email") != "noel@clinic.example" {
		t.Errorf("the list is %s", list.body)
	}
	boss.post("/v1/staff/"+id+"/reset", nil).is(http.StatusAccepted)
	want := []string{"staff.created", "grant.requested", "link.issued", "link.issued"}
	if diff := cmp.Diff(want, s.typesBy(t, "staff:"+boss.id)); diff != "" {
		t.Errorf("recorded by the administrator (-want +got):\n%s", diff)
	}
	if got := box.all(); len(got) != 2 || !strings.Contains(got[0], "/sign-in/link#psl_") || got[0] == got[1] {
		t.Fatalf("sent: %v", got)
	}
	_, token, _ := strings.Cut(box.all()[1], "#")
	if err := s.gate.AcceptInvitation(t.Context(), policy.RealmStaff, token, password); err != nil {
		t.Fatal(err)
	}
	s.anonymous(t).post("/v1/session", map[string]any{"email": "noel@clinic.example", "password": password}).is(http.StatusOK)

	for _, c := range []struct {
		body   map[string]any
		status int
		kind   string
		at     []any
	}{
		{map[string]any{"email": "NOEL@clinic.example", "name": "N", "permissions": []string{}}, http.StatusConflict, "staff-exists", nil},
		{map[string]any{"email": "nowhere", "name": " "}, http.StatusUnprocessableEntity, "invalid-request", []any{"body.email", "body.name"}},
		{map[string]any{"email": "a@clinic.example", "name": "A", "permissions": []string{"fly"}}, http.StatusUnprocessableEntity, "invalid-request", []any{"body.permissions[0]"}},
		{map[string]any{"email": "a@clinic.example", "name": "A", "password": password}, http.StatusUnprocessableEntity, "invalid-request", []any{"body.password"}},
	} {
		got := boss.post("/v1/staff", c.body).is(c.status)
		if got.at("type") != "/problems/"+c.kind {
			t.Errorf("%v is answered with %s", c.body, got.body)
		}
		for i, at := range c.at {
			if got.at(fmt.Sprintf("errors.%d.location", i)) != at {
				t.Errorf("%v is answered with %s, want a fault at %s", c.body, got.body, at)
			}
		}
	}
	if got := boss.post("/v1/staff/"+boss.id+"/reset", nil).is(http.StatusConflict); got.at("type") != "/problems/own-account" {
		t.Errorf("oneself: %s", got.body)
	}
	boss.post("/v1/staff/unknown/reset", nil).is(http.StatusNotFound)
	s.staff(t, "Plain").post("/v1/staff", new).is(http.StatusForbidden)
}

// Without an e-mail service, staff are added all the same, and the answer says that no
// link was sent.
func TestAddingStaffWithoutEmail(t *testing.T) {
	s := newSystem(t)
	boss := s.staff(t, "Boss", policy.ManageStaff)
	added := boss.post("/v1/staff", map[string]any{"email": "noel@clinic.example", "name": "Noel"}).is(http.StatusCreated)
	if added.at("link_sent") != false {
		t.Errorf("it is answered with %s", added.body)
	}
	if got := boss.post("/v1/staff/"+added.text("id")+"/reset", nil).is(http.StatusServiceUnavailable); got.at("type") != "/problems/email-unavailable" {
		t.Errorf("it is answered with %s", got.body)
	}
}

// A name and an e-mail address can be changed. The former address is told.
func TestChangingStaff(t *testing.T) {
	box := &outbox{}
	s := newSystem(t, box.install)
	boss, ada := s.staff(t, "Boss", policy.ManageStaff), s.staff(t, "Ada")
	change := func(id string, body map[string]any, status int) *reply {
		t.Helper()
		return boss.json(http.MethodPatch, "/v1/staff/"+id, body).is(status)
	}
	if got := change(ada.id, map[string]any{"name": "Ada Brook"}, http.StatusOK); got.at("name") != "Ada Brook" || got.at("email") != ada.email {
		t.Errorf("it is answered with %s", got.body)
	}
	if got := change(ada.id, map[string]any{"email": "brook@clinic.example"}, http.StatusOK); got.at("name") != "Ada Brook" || got.at("email") != "brook@clinic.example" {
		t.Errorf("it is answered with %s", got.body)
	}
	if got := box.all(); len(got) != 1 || got[0] != "changed "+ada.email {
		t.Errorf("sent: %v", got)
	}
	if got := change(ada.id, map[string]any{"email": boss.email}, http.StatusConflict); got.at("type") != "/problems/staff-exists" {
		t.Errorf("another's address: %s", got.body)
	}
	if got := change(boss.id, map[string]any{"email": "mine@clinic.example"}, http.StatusConflict); got.at("type") != "/problems/own-account" {
		t.Errorf("one's own: %s", got.body)
	}
	if got := change(ada.id, map[string]any{"email": "nowhere"}, http.StatusUnprocessableEntity); got.at("errors.0.location") != "body.email" {
		t.Errorf("no address: %s", got.body)
	}
	change("unknown", map[string]any{"name": "X"}, http.StatusNotFound)
	change(ada.id, map[string]any{}, http.StatusOK)
	ada.json(http.MethodPatch, "/v1/staff/"+ada.id, map[string]any{"name": "X"}).is(http.StatusForbidden)
}

// Staff change their own password with the current one: other sessions end, and this one
// goes on.
func TestChangingOnesOwnPassword(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada")
	here, there := s.anonymous(t), s.anonymous(t)
	for _, c := range []*client{here, there} {
		c.post("/v1/session", map[string]any{"email": ada.email, "password": password}).is(http.StatusOK)
	}
	const another = "another brook under the bridge"
	change := func(current, new string, status int) *reply {
		t.Helper()
		return here.post("/v1/session/password", map[string]any{"current": current, "new": new}).is(status)
	}
	both := change("wrong", "short", http.StatusUnprocessableEntity)
	if both.at("type") != "/problems/invalid-request" || both.at("errors.0.location") != "body.current" || both.at("errors.1.location") != "body.new" {
		t.Errorf("both wrong: %s", both.body)
	}
	if got := change(password, "short", http.StatusUnprocessableEntity); got.at("errors.0.location") != "body.new" || strings.Contains(string(got.body), password) {
		t.Errorf("too short: %s", got.body)
	}
	there.get("/v1/session").is(http.StatusOK)
	change(password, another, http.StatusNoContent)
	here.get("/v1/session").is(http.StatusOK)
	there.get("/v1/session").is(http.StatusUnauthorized)
	there.post("/v1/session", map[string]any{"email": ada.email, "password": password}).is(http.StatusUnauthorized)
	there.post("/v1/session", map[string]any{"email": ada.email, "password": another}).is(http.StatusOK)
	s.anonymous(t).post("/v1/session/password", map[string]any{"current": another, "new": password}).is(http.StatusUnauthorized)
}

// typesBy gives the types of the events of an actor.
func (s *system) typesBy(t *testing.T, actor string) []string {
	t.Helper()
	s.Settle(t)
	rows, err := s.Admin.Query(t.Context(), `SELECT type FROM record.events WHERE actor = $1 ORDER BY seq`, actor)
	if err != nil {
		t.Fatal(err)
	}
	types, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return types
}

// outbox keeps the letters of a system, each as its kind, address and link.
type outbox struct {
	mu   sync.Mutex
	sent []string
}

func (o *outbox) install(c *process.WebConfig) {
	send := func(kind string) func(context.Context, string, string) error {
		return func(_ context.Context, to, link string) error {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.sent = append(o.sent, strings.TrimSpace(kind+" "+to+" "+link))
			return nil
		}
	}
	c.Letters = letters.Config{PublicURL: "https://portal.example", SendInvitation: send("portal"), SendReset: send("portal"),
		SendStaffInvitation: send("first"), SendStaffReset: send("reset"),
		SendAddressChanged: func(ctx context.Context, to string) error { return send("changed")(ctx, to, "") }}
}

func (o *outbox) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.sent)
}
