package telemetry

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/events"
)

// Failed sign-ins are counted by realm and reason, those that are events of their own and those
// that an event counts. What could not be published is not counted.
func TestFailedSignInsAreCounted(t *testing.T) {
	t.Parallel()
	tell, down := New(), error(nil)
	publish := tell.Publishing(func(context.Context, ...events.Event) (uint64, error) { return 1, down })
	for _, body := range []events.Body{
		events.SignIn{Attempt: uuid.New(), Account: "staff", ID: "s1", Method: events.ByPassword},
		events.SignIn{Failed: true, Attempt: uuid.New(), Account: "staff", Method: events.ByPassword, Reason: "no_account"},
		events.SignInsFailed{Tally: uuid.New(), Account: "portal_user", Minute: time.Now(), Count: 5, ByReason: map[string]int{"no_account": 2, "inactive": 3}},
		nil, // from here on NATS is down
		events.SignIn{Failed: true, Attempt: uuid.New(), Account: "staff", Method: events.ByPassword, Reason: "no_account"},
	} {
		if body == nil {
			down = errors.New("down")
			continue
		}
		e, err := events.New("/api", "process:api", time.Now(), body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := publish(t.Context(), e); !errors.Is(err, down) {
			t.Fatal(err)
		}
	}
	families, err := tell.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "postern_signin_failures_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := ""
			for _, l := range m.GetLabel() {
				labels += l.GetValue() + " "
			}
			got[labels] = m.GetCounter().GetValue()
		}
	}
	want := map[string]float64{"staff no_account ": 1, "staff wrong_password ": 0,
		"portal_user no_account ": 2, "portal_user wrong_password ": 0, "portal_user inactive ": 3}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}
