package api_test

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/policy"
)

// session is a client of the same staff member with a session instead of a token.
func (c *client) session(s *system) *client {
	c.t.Helper()
	in := s.anonymous(c.t)
	in.id, in.email = c.id, c.email
	in.post("/v1/session", map[string]any{"email": c.email, "password": password}).is(http.StatusOK)
	return in
}

// with is a client of the same staff member with another token.
func (c *client) with(s *system, token string) *client {
	in := s.anonymous(c.t)
	in.id, in.email, in.token = c.id, c.email, token
	return in
}

// A staff member makes a token for one purpose, uses it, lists and revokes it.
func TestTokens(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage, policy.ManageLabels)
	me := ada.session(s)
	until := s.Clock.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)

	made := me.post("/v1/tokens", map[string]any{"name": " nightly report ", "permissions": []string{"manage_labels"}, "expires_at": until}).is(http.StatusCreated)
	id, program := made.text("id"), ada.with(s, made.text("token"))
	if made.at("name") != "nightly report" || made.at("scope") != "listed" || made.at("permissions.0") != "manage_labels" || made.at("permissions.1") != nil ||
		made.at("expires_at") != until.Format(time.RFC3339) || made.at("state") != "active" || made.at("last_used_at") != nil {
		t.Errorf("it is answered with %s", made.body)
	}
	program.json(http.MethodPut, "/v1/labels", map[string]any{}).is(http.StatusOK)
	program.get("/v1/portal-users").is(http.StatusForbidden)
	for began := time.Now(); me.get("/v1/tokens").is(http.StatusOK).at("items.0.last_used_at") == nil; {
		if time.Since(began) > time.Minute {
			t.Fatal("its last use is not listed")
		}
	}
	if got := program.get("/v1/session").is(http.StatusOK); got.at("permissions.0") != "manage_labels" || got.at("permissions.1") != nil {
		t.Errorf("it stands for %s", got.body)
	}
	if diff := cmp.Diff([]string{"nightly report", "of the test"}, program.get("/v1/tokens").is(http.StatusOK).all("name")); diff != "" {
		t.Errorf("tokens are (-want +got):\n%s", diff)
	}
	page := me.get("/v1/tokens?limit=1").is(http.StatusOK)
	if diff := cmp.Diff([]string{"of the test"}, me.get("/v1/tokens?limit=1&cursor="+page.text("next_cursor")).is(http.StatusOK).all("name")); diff != "" {
		t.Errorf("the second page is (-want +got):\n%s", diff)
	}

	// Without a list and a time: everything, for ninety days.
	all := me.post("/v1/tokens", map[string]any{"name": "everything"}).is(http.StatusCreated)
	if expires, err := time.Parse(time.RFC3339, all.text("expires_at")); err != nil || expires.Sub(s.Clock.Now()).Round(time.Hour) != 90*24*time.Hour || all.at("scope") != "owner" || all.at("permissions.1") != "send_portal_message" {
		t.Errorf("it is answered with %s: %v", all.body, err)
	}
	ada.with(s, all.text("token")).get("/v1/portal-users").is(http.StatusOK)

	// Another's token is not found, and revoking twice is done.
	s.staff(t, "Eve").session(s).do(http.MethodDelete, "/v1/tokens/"+id, nil).is(http.StatusNotFound)
	for range 2 {
		me.do(http.MethodDelete, "/v1/tokens/"+id, nil).is(http.StatusNoContent)
	}
	program.get("/v1/labels").is(http.StatusUnauthorized)
	if got := me.get("/v1/tokens").is(http.StatusOK); got.at("items.1.state") != "revoked" {
		t.Errorf("revoked, it is %s", got.body)
	}
}

// An administrator sees and revokes the tokens of a staff member, also with a token, and makes none
// for another.
func TestTokensOfOthers(t *testing.T) {
	s := newSystem(t)
	boss, ada := s.staff(t, "Boss", policy.ManageStaff), s.staff(t, "Ada", policy.SendPortalMessage)
	path := "/v1/staff/" + ada.id + "/tokens"
	ada.get(path).is(http.StatusForbidden)
	list := boss.get(path).is(http.StatusOK)
	if list.at("items.0.name") != "of the test" || list.at("items.0.permissions.0") != "send_portal_message" || list.at("items.0.token") != nil {
		t.Errorf("the list is %s", list.body)
	}
	boss.post(path, map[string]any{"name": "x"}).is(http.StatusMethodNotAllowed)
	boss.do(http.MethodDelete, "/v1/staff/"+boss.id+"/tokens/"+list.text("items.0.id"), nil).is(http.StatusNotFound) // another's
	boss.do(http.MethodDelete, path+"/"+list.text("items.0.id"), nil).is(http.StatusNoContent)
	ada.get("/v1/labels").is(http.StatusUnauthorized)
}

// People list and end their sessions; each says the browser and the network.
func TestOwnSessions(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	s.portalUser(t, "pu-1")
	for name, c := range map[string]struct{ signIn, sessions, email string }{
		"staff":  {"/v1/session", "/v1/sessions", ada.email},
		"portal": {"/v1/portal/session", "/v1/portal/sessions", "pu-1@example.org"},
	} {
		t.Run(name, func(t *testing.T) {
			device := func(agent, address string) *client {
				in := s.anonymous(t)
				in.post(c.signIn, map[string]any{"email": c.email, "password": password}, "User-Agent", agent, "X-Forwarded-For", address).is(http.StatusOK)
				return in
			}
			desk := device("Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", "203.0.113.77")
			phone := device("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", "2001:db8:1:2::3")
			var list *reply
			id := func(agent string) string {
				t.Helper()
				list = desk.get(c.sessions).is(http.StatusOK)
				for i, one := range list.all("agent") {
					if one == agent {
						return list.all("id")[i]
					}
				}
				t.Fatalf("no session of %q: %s", agent, list.body)
				return ""
			}
			phones := id("Safari on iPhone")
			for i, agent := range list.all("agent") {
				want := map[string]string{"Firefox on Linux": "203.0.113.0/24", "Safari on iPhone": "2001:db8:1::/48"}[agent]
				if got := list.all("network")[i]; want != "" && got != want {
					t.Errorf("%s is in the network %s, want %s", agent, got, want)
				} else if want != "" && !netip.MustParsePrefix(got).IsValid() {
					t.Errorf("%s is no network", got)
				}
			}
			desk.do(http.MethodDelete, c.sessions+"/"+uuid.NewString(), nil).is(http.StatusNotFound)
			desk.do(http.MethodDelete, c.sessions+"/"+phones, nil).is(http.StatusNoContent)
			phone.get(c.signIn).is(http.StatusUnauthorized)
			other := device("curl/8.14.1", "203.0.113.77")
			desk.do(http.MethodDelete, c.sessions, nil).is(http.StatusNoContent)
			other.get(c.signIn).is(http.StatusUnauthorized)
			last := desk.get(c.sessions).is(http.StatusOK)
			if last.at("items.1") != nil || last.at("items.0.this") != true || last.at("items.0.method") != "password" {
				t.Errorf("what is left: %s", last.body)
			}
			desk.do(http.MethodDelete, c.sessions+"/"+last.text("items.0.id"), nil).is(http.StatusNoContent)
			desk.get(c.signIn).is(http.StatusUnauthorized)
		})
	}
	// A token lists them, and none of them is its own.
	ada.session(s)
	if got := ada.get("/v1/sessions").is(http.StatusOK); got.at("items.0.this") != false {
		t.Errorf("a token is told %s", got.body)
	}
}

// Administrators end the sessions of others.
func TestEndingTheSessionsOfOthers(t *testing.T) {
	s := newSystem(t)
	boss, ada := s.staff(t, "Boss", policy.ManageStaff, policy.ImportDirectory), s.staff(t, "Ada", policy.SendPortalMessage)
	pat, in := s.portalUser(t, "pu-1"), ada.session(s)
	for _, path := range []string{"/v1/staff/" + ada.id + "/sessions", "/v1/portal-users/pu-1/sessions"} {
		ada.do(http.MethodDelete, path, nil).is(http.StatusForbidden)
		boss.do(http.MethodDelete, path, nil).is(http.StatusNoContent)
	}
	in.get("/v1/session").is(http.StatusUnauthorized)
	pat.get("/v1/portal/session").is(http.StatusUnauthorized)
	ada.get("/v1/session").is(http.StatusOK) // the token stays
}

// A token makes no other token and ends no session, whatever it permits.
func TestWhatATokenCantDo(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.All...)
	for _, call := range []struct{ method, path string }{
		{http.MethodPost, "/v1/tokens"}, {http.MethodDelete, "/v1/tokens/" + uuid.NewString()},
		{http.MethodDelete, "/v1/sessions"}, {http.MethodDelete, "/v1/sessions/" + uuid.NewString()}, {http.MethodDelete, "/v1/session?everywhere=true"},
	} {
		if got := ada.json(call.method, call.path, map[string]any{"name": "x"}).is(http.StatusForbidden); got.at("type") != "/problems/session-needed" {
			t.Errorf("%s %s is answered with %s", call.method, call.path, got.body)
		}
	}
}
