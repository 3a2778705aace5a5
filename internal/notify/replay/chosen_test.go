package replay_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/notify/replay"
	"postern/internal/notify/sendgridfake"
)

// A plan of portal users who are named has their alerts alone. The plan on the record has
// their number; the set has who they are, and is what the replay sends.
func TestPlanOfNamedPortalUsers(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.users(4)
	c.refuse("u0", "u1", "u2")
	m := c.send(4)
	c.refuse()
	plan := c.plan(replay.Filter{MessageID: &m, PortalUserIDs: []string{"u2", "u0", "u2", "u3"}}) // the alert of u3 has not failed
	if plan.Count != 2 || plan.Filter.PortalUsers != 3 || plan.Filter.PortalUserIDs != nil {
		t.Fatalf("the plan is %+v", plan)
	}
	c.finish(plan.ID, 0)
	c.standsAs(m, map[string]string{"u0": "accepted 2", "u1": "failed 1", "u2": "accepted 2", "u3": "accepted 1"})
	c.whole()
	var invalid *replay.Invalid
	_, err := c.Plan(t.Context(), someone, replay.Filter{PortalUserIDs: []string{"u1", "u99"}}, "again")
	if !errors.As(err, &invalid) || invalid.Faults[0].Location != "body.filter.portal_user_ids" {
		t.Errorf("of an unknown portal user: %v", err)
	}
}

// A preview has the counts that a plan would have. It counts what another replay repeats
// apart, and names that replay.
func TestPreview(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.users(3)
	c.refuse("u0", "u1")
	m := c.send(3)
	before, err := c.Preview(t.Context(), replay.Filter{MessageID: &m})
	if err != nil || before.Count != 2 || len(before.RepeatedBy) != 0 {
		t.Fatalf("the preview is %+v, %v", before, err)
	}
	plan := c.plan(replay.Filter{MessageID: &m})
	if diff := cmp.Diff(before.ByReason, plan.ByReason); diff != "" {
		t.Errorf("the plan has other counts than the preview: %s", diff)
	}
	reason := ""
	for reason = range before.ByReason {
	}
	for _, f := range []replay.Filter{{Reasons: []string{reason, "another"}}, {Reason: reason}, {Reasons: []string{reason}}} {
		if some, err := c.Preview(t.Context(), f); err != nil || some.Count != 2 {
			t.Errorf("of %+v: %+v, %v", f, some, err)
		}
	}
	if none, err := c.Preview(t.Context(), replay.Filter{Reasons: []string{"another", "a third"}}); err != nil || none.Count != 0 {
		t.Errorf("of other reasons: %+v, %v", none, err)
	}
	c.stopped = time.Now()
	if _, err := c.Start(t.Context(), someone, plan.ID, 0); err != nil {
		t.Fatal(err)
	}
	c.fake.Queue(sendgridfake.RateLimit(time.Minute)) // its alerts are taken, and wait
	c.turns(1)
	after, err := c.Preview(t.Context(), replay.Filter{MessageID: &m})
	if err != nil || after.Count != 0 || after.Excluded[replay.Repeated] != 2 || !slices.Equal(after.RepeatedBy, []uuid.UUID{plan.ID}) {
		t.Errorf("the preview is %+v, %v", after, err)
	}
}
