package api_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose/composetest"
	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/notify/sendgridfake"
	"postern/internal/process"
)

// Every request waits for the record for at most three seconds; only workers wait longer.
// Then the answer says to try again, and when.
func TestRequestsWaitThreeSecondsForTheRecord(t *testing.T) {
	b := newBlast(t)
	boss := b.system.staff(t, "Boss", policy.ManageStaff, policy.ManageLabels, policy.ReadRecord)
	pat := b.anonymous(t)
	if err := b.gate.SetPortalPassword(t.Context(), "operator:test", "pu-1", password); err != nil {
		t.Fatal(err)
	}
	pat.post("/v1/portal/session", map[string]any{"email": "pu-1@example.org", "password": password}).is(http.StatusOK)

	var given []time.Duration
	away := func(ctx context.Context, _ ...events.Event) (uint64, error) {
		deadline, ok := ctx.Deadline()
		if !ok {
			deadline = time.Now().Add(time.Hour)
		}
		given = append(given, time.Until(deadline))
		return 0, errors.Join(eventlog.ErrUnavailable, context.DeadlineExceeded)
	}
	server := httptest.NewServer(b.wire(t, process.WebConfig{Publish: away}).API)
	defer server.Close()
	anonymous := b.anonymous(t)
	for _, c := range []*client{b.staff, boss, pat, anonymous} {
		c.url = server.URL
	}

	for name, ask := range map[string]func() *reply{
		"send":   func() *reply { return b.staff.post("/v1/messages", letter("s", "pu-1"), "Idempotency-Key", "k") },
		"recall": func() *reply { return b.staff.post("/v1/messages/"+b.id+"/recall", map[string]any{"reason": "x"}) },
		"open":   func() *reply { return pat.get("/v1/portal/messages/" + b.id) },
		"sign in": func() *reply {
			return anonymous.post("/v1/session", map[string]any{"email": boss.email, "password": password})
		},
		"sign wrong": func() *reply {
			return anonymous.post("/v1/session", map[string]any{"email": boss.email, "password": "wrong"})
		},
		"portal": func() *reply {
			return anonymous.post("/v1/portal/session", map[string]any{"email": "pu-1@example.org", "password": password})
		},
		"permit": func() *reply {
			return boss.json(http.MethodPut, "/v1/staff/"+b.staff.id+"/permissions", map[string]any{"permissions": []string{}})
		},
		"label": func() *reply {
			return boss.json(http.MethodPut, "/v1/labels", map[string]any{"patient": map[string]any{"one": "a", "many": "b"}})
		},
		"read the record": func() *reply { return boss.get("/v1/record") },
		"webhook": func() *reply {
			post, err := sendgridfake.EncodeEvents([]sendgridfake.Event{sendgridfake.Blocked(b.mails[0], time.Now(), "5.7.1", "550 refused")})
			if err != nil {
				t.Fatal(err)
			}
			signed, err := b.hook.Sign(post)
			if err != nil {
				t.Fatal(err)
			}
			var header []string
			for name := range signed {
				header = append(header, name, signed.Get(name))
			}
			return anonymous.do(http.MethodPost, "/webhooks/sendgrid", bytes.NewReader(post), header...)
		},
	} {
		given = nil
		got := ask().is(http.StatusServiceUnavailable)
		got.isProblem(t, "")
		if len(given) != 1 || given[0] > 3*time.Second {
			t.Errorf("%s waits for the record for %v", name, given)
		}
		if got.header.Get("Retry-After") == "" {
			t.Errorf("%s is not told when to try again", name)
		}
		if told := strings.Contains(got.text("detail"), "same Idempotency-Key"); told != (name == "send") {
			t.Errorf("%s is told: %s", name, got.body)
		}
	}
}

// A request whose answer came too late can be repeated: the repeat is the same fact, and
// counts once.
func TestAnAnswerThatCameTooLate(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	pat := s.portalUser(t, "pu-1")
	late := &composetest.Fault{After: true, Err: errors.Join(eventlog.ErrUnavailable, context.DeadlineExceeded)}

	s.Break(late)
	for range 3 {
		refused := ada.post("/v1/messages", letter("s", "pu-1"), "Idempotency-Key", "k").is(http.StatusServiceUnavailable)
		if !strings.Contains(refused.text("detail"), "same Idempotency-Key") {
			t.Errorf("it is answered with %s", refused.body)
		}
	}
	s.Break(nil)
	id := ada.post("/v1/messages", letter("s", "pu-1"), "Idempotency-Key", "k").is(http.StatusAccepted).text("id")
	s.Deliver(t, uuid.MustParse(id))

	s.Break(late)
	pat.get("/v1/portal/messages/" + id).is(http.StatusServiceUnavailable)
	s.Break(nil)
	pat.get("/v1/portal/messages/" + id).is(http.StatusOK)

	s.Settle(t)
	counted := map[string]int{}
	for _, what := range []events.Type{events.TypeMessageSent, events.TypeDeliveryOpened} {
		var n int
		if err := s.Admin.QueryRow(t.Context(), `SELECT count(*) FROM record.events WHERE type = $1 AND repeats IS NULL`, what).Scan(&n); err != nil {
			t.Fatal(err)
		}
		counted[string(what)] = n
	}
	if diff := cmp.Diff(map[string]int{"message.sent": 1, "delivery.opened": 1}, counted); diff != "" {
		t.Errorf("the record counts (-want +got):\n%s", diff)
	}
	if got := ada.get("/v1/messages").is(http.StatusOK).all("id"); len(got) != 1 {
		t.Errorf("there are messages %v", got)
	}
}
