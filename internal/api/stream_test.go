package api_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"postern/internal/access/policy"
	"postern/internal/events"
)

// A stream ends when its reader's session, token or permission ends, and a reader who
// connects again gets the error.
func TestAStreamEndsWithThePermission(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.PortalUser(t, "pu-1")
	boss := s.staff(t, "Boss", policy.ManageStaff)
	for name, end := range map[string]func(c, cookie *client) error{
		"signed out": func(_, cookie *client) error {
			cookie.do(http.MethodDelete, "/v1/session", nil).is(http.StatusNoContent)
			return nil
		},
		"signed out everywhere": func(c, _ *client) error {
			return s.gate.SignOutEverywhere(t.Context(), policy.Subject{Realm: policy.RealmStaff, ID: c.id})
		},
		"token revoked": func(c, cookie *client) error {
			cookie.token = c.token
			made, err := s.gate.Tokens(t.Context(), c.id)
			if err != nil {
				return err
			}
			return s.gate.RevokeToken(t.Context(), "operator:test", c.id, made[0].ID, events.RevokedByOperator)
		},
		"disabled": func(c, _ *client) error {
			boss.post("/v1/staff/"+c.id+"/disable", nil).is(http.StatusOK)
			return nil
		},
		"permission revoked": func(c, _ *client) error {
			boss.json(http.MethodPut, "/v1/staff/"+c.id+"/permissions", map[string]any{"permissions": []string{}}).is(http.StatusOK)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s.staff(t, "Staff "+name, policy.SendPortalMessage)
			id := c.send(letter("s", "pu-1"))
			cookie := s.anonymous(t)
			cookie.post("/v1/session", map[string]any{"email": c.email, "password": password}).is(http.StatusOK)
			if name == "token revoked" {
				cookie.token = c.token
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // shorter than a stream lives
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/messages/"+id+"/stream", nil)
			if err != nil {
				t.Fatal(err)
			}
			if cookie.token != "" {
				r.Header.Set("Authorization", "Bearer "+cookie.token)
			}
			res, err := cookie.http.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			first := make([]byte, 16)
			if _, err := io.ReadFull(res.Body, first); err != nil || res.StatusCode != http.StatusOK || !strings.HasPrefix(string(first), "event: progress") {
				t.Fatalf("the stream begins with %d %q: %v", res.StatusCode, first, err)
			}
			if err := end(c, cookie); err != nil {
				t.Fatal(err)
			}
			// Whatever comes on the record has the stream look again.
			s.Record(t, "process:test", events.RetentionChanged{Years: 7, Before: 6})
			if _, err := io.Copy(io.Discard, res.Body); err != nil {
				t.Errorf("the stream does not end: %v", err)
			}
			if again := cookie.get("/v1/messages/" + id + "/stream"); again.status < 400 || again.status > 404 {
				t.Errorf("who comes again is answered with %d", again.status)
			}
		})
	}
}
