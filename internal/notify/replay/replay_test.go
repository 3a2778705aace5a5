package replay_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/notify/replay"
	"postern/internal/notify/sendgridfake"
	"postern/internal/recorder/state"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// Half of a message's alerts fail; an operator plans and starts a replay, and just the
// recipients of the failed alerts are alerted again.
func TestHalfOfABlastFails(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.users(6)
	c.refuse("u0", "u1", "u2")
	m := c.send(6)
	c.refuse("u2")
	plan := c.plan(replay.Filter{MessageID: &m})
	if plan.Status != replay.Planned || plan.Count != 3 || !cmp.Equal(plan.ByReason, map[string]int{full: 3}) {
		t.Fatalf("the plan is %+v", plan)
	}
	c.standsAs(m, map[string]string{"u0": "failed 1", "u1": "failed 1", "u2": "failed 1", "u3": "accepted 1", "u4": "accepted 1", "u5": "accepted 1"})
	done := c.finish(plan.ID, 0)
	if done.Accepted != 2 || done.Failed != 1 || done.Done() != done.Count {
		t.Errorf("the replay is %+v", done)
	}
	c.standsAs(m, map[string]string{"u0": "accepted 2", "u1": "accepted 2", "u2": "failed 2", "u3": "accepted 1", "u4": "accepted 1", "u5": "accepted 1"})
	if diff := cmp.Diff(map[string]int{"u0": 1, "u1": 1, "u3": 1, "u4": 1, "u5": 1}, c.mailed()); diff != "" {
		t.Errorf("mailed (-want +got):\n%s", diff)
	}
	again, err := c.Start(t.Context(), "staff:other", plan.ID, 60)
	if err != nil || again.Status != replay.Completed || again.Rate != 0 || *again.StartedBy != someone {
		t.Errorf("starting again gives %+v, %v", again, err)
	}
	c.whole()
}

// A hundred concurrent replays of the same failure make one new attempt.
func TestAHundredParallelRequestsMakeOneAttempt(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.users(4)
	c.refuse("u0", "u1", "u2")
	m := c.send(4)
	var hands sync.WaitGroup
	plans := make([]uuid.UUID, 100)
	for i := range plans {
		hands.Go(func() {
			r, err := c.Plan(t.Context(), someone, replay.Filter{MessageID: &m}, "again")
			if err == nil {
				plans[i] = r.ID
				_, err = c.Start(t.Context(), someone, r.ID, 0)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	hands.Wait()
	// It fails again, which must not count as a new failure in the other replays.
	c.runs(4, func() bool {
		var open int
		err := c.admin.QueryRow(t.Context(), `SELECT count(*) FROM record.replays WHERE status <> 'completed'`).Scan(&open)
		return err == nil && open == 0
	})
	c.standsAs(m, map[string]string{"u0": "failed 2", "u1": "failed 2", "u2": "failed 2", "u3": "accepted 1"})
	var calls, counted int
	err := c.admin.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM app.alert_repeats), (SELECT sum(failed) FROM record.replays)`).Scan(&calls, &counted)
	if err != nil || calls != 3 || counted != 3 {
		t.Errorf("%d alerts were repeated, and replays count %d: %v", calls, counted, err)
	}
	c.whole()
}

// A plan is frozen: recipients are not alerted if their alert fails after the plan was made,
// if it is accepted before their turn, or if they have opened the message.
func TestAPlanIsFrozen(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.users(5)
	c.refuse("u0", "u1", "u2")
	m := c.send(5)
	plan := c.plan(replay.Filter{})
	later := c.send(3) // fails too
	c.says(events.DeliveryOpened{MessageID: m, PortalUserID: "u1", PortalUserNo: 2})
	c.refuse()
	// Another replay is quicker with u2.
	if _, err := c.admin.Exec(t.Context(), `INSERT INTO app.alert_repeats VALUES ($1, 3, 2, 0)`, m); err != nil {
		t.Fatal(err)
	}
	done := c.finish(plan.ID, 0)
	if done.Accepted != 1 || done.LeftOut != 2 || done.Done() != 3 ||
		!cmp.Equal(done.LeftOutBy, map[string]int{events.LeftOutOpened: 1, events.LeftOutRepeated: 1}) {
		t.Errorf("the replay is %+v", done)
	}
	c.standsAs(m, map[string]string{"u0": "accepted 2", "u1": "failed 1", "u2": "failed 1", "u3": "accepted 1", "u4": "accepted 1"})
	c.standsAs(later, map[string]string{"u0": "failed 1", "u1": "failed 1", "u2": "failed 1"})
	c.whole()
}

// A plan counts the recipients that it leaves out, by reason.
func TestAPlanCountsTheLeftOut(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.users(6)
	c.refuse("u0", "u1", "u2", "u3")
	m := c.send(6)
	c.says(events.DeliveryOpened{MessageID: m, PortalUserID: "u0", PortalUserNo: 1})
	if _, err := c.admin.Exec(t.Context(), `UPDATE app.portal_users SET email = CASE WHEN portal_user_no = 2 THEN '' ELSE 'u2@elsewhere.test' END, active = portal_user_no <> 3
		WHERE portal_user_no IN (2, 3)`); err != nil {
		t.Fatal(err)
	}
	plan := c.plan(replay.Filter{})
	if plan.Count != 1 || plan.Opened() != 1 || plan.Undeliverable() != 2 {
		t.Errorf("the plan is %+v", plan)
	}
	for name, f := range map[string]replay.Filter{
		"another domain": {Domain: "elsewhere.test"}, "another reason": {Reason: "no such domain"}, "unknown": {State: []events.AlertState{events.AlertUnknown}},
		"before": {To: plan.Oldest}, "after": {From: ptr(plan.Newest.Add(time.Microsecond))}, "another message": {MessageID: ptr(uuid.New())},
	} {
		if got := c.plan(f); got.Count != 0 {
			t.Errorf("%s: the plan is %+v", name, got)
		}
	}
	if got := c.plan(replay.Filter{Domain: "X.TEST", Reason: full, From: plan.Oldest}); got.Count != 1 {
		t.Errorf("the plan is %+v", got)
	}
	c.says(events.MessageRecalled{MessageID: m, StaffID: "s1", Reason: "wrong"})
	if got := c.plan(replay.Filter{}); got.Count != 0 {
		t.Errorf("of a recalled message: %+v", got)
	}
	// The replay was planned before the recall: no alert is sent, the reason is given, and the
	// failure stands.
	if done := c.finish(plan.ID, 0); done.LeftOut != 1 || done.LeftOutBy["the message was recalled"] != 1 {
		t.Errorf("the replay is %+v", done)
	}
	c.standsAs(m, map[string]string{"u0": "failed 1", "u1": "failed 1", "u2": "failed 1", "u3": "failed 1", "u4": "accepted 1", "u5": "accepted 1"})
	c.whole()
}

// Recipients with a dead address are left out of a plan, with the reason, until the directory
// has another address for them.
func TestADeadAddressIsLeftOut(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.users(4)
	c.refuse("u0", "u1", "u2")
	m := c.send(4)
	if _, err := c.admin.Exec(t.Context(), `INSERT INTO record.dead_addresses (portal_user_no, address_version, since, reason, report_id)
		VALUES (1, 0, now(), '550 no such mailbox', 'r1'), (2, 0, now(), '550 no such mailbox', 'r2')`); err != nil {
		t.Fatal(err)
	}
	if _, err := c.admin.Exec(t.Context(), `UPDATE app.portal_users SET email_version = 1 WHERE portal_user_no = 2`); err != nil {
		t.Fatal(err)
	}
	c.refuse()
	plan := c.plan(replay.Filter{MessageID: &m})
	if plan.Count != 2 || plan.Undeliverable() != 1 {
		t.Errorf("the plan is %+v", plan)
	}
	if diff := cmp.Diff(map[string]int{"the e-mail address does not work": 1}, plan.Excluded); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{full: 2}, plan.ByReason); diff != "" {
		t.Errorf("by reason (-want +got):\n%s", diff)
	}
	if done := c.finish(plan.ID, 0); done.Accepted != 2 || done.Skipped != 0 || done.Done() != done.Count {
		t.Errorf("the replay is %+v", done)
	}
	// They are not on the record, as all else that c.whole looks at.
	if _, err := c.admin.Exec(t.Context(), `DELETE FROM record.dead_addresses`); err != nil {
		t.Fatal(err)
	}
	c.whole()
}

func ptr[T any](v T) *T { return &v }

// A replay keeps its rate by the clock: it sends the alerts of ten seconds at a time.
func TestARateHolds(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	ids := c.users(8)
	c.refuse(ids...)
	m := c.send(8)
	c.refuse()
	plan := c.plan(replay.Filter{MessageID: &m})
	c.stopped = time.Now()
	if _, err := c.Start(t.Context(), someone, plan.ID, 18); err != nil { // three in ten seconds
		t.Fatal(err)
	}
	for _, want := range []int{3, 6, 8} {
		c.runs(1, func() bool { return c.get(plan.ID).Accepted == want })
		if n := c.fake.Count(); n != want {
			t.Fatalf("%d alerts went out, want %d", n, want)
		}
		c.pass(10 * time.Second)
	}
	c.runs(1, func() bool { return c.get(plan.ID).Status == replay.Completed })
	c.whole()
}

// A paused replay sends nothing; resumed, it sends the rest. A cancelled one never sends the
// rest, and another replay may repeat it.
func TestPauseAndCancel(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	ids := c.users(6)
	c.refuse(ids...)
	m := c.send(6)
	c.refuse()
	plan := c.plan(replay.Filter{MessageID: &m})
	steer := func(f func() (replay.Replay, error), status state.Replay) {
		t.Helper()
		if r, err := f(); err != nil || r.Status != status {
			t.Fatalf("it is %s, want %s: %v", r.Status, status, err)
		}
	}
	var early replay.WrongStatus
	if _, err := c.Pause(t.Context(), someone, plan.ID); !errors.As(err, &early) {
		t.Errorf("a plan was paused: %v", err)
	}
	steer(func() (replay.Replay, error) { return c.Start(t.Context(), someone, plan.ID, 12) }, replay.Running) // two at a time
	c.runs(1, func() bool { return c.get(plan.ID).Accepted == 2 })
	steer(func() (replay.Replay, error) { return c.Pause(t.Context(), someone, plan.ID) }, replay.Paused)
	c.pass(time.Hour)
	other := c.plan(replay.Filter{MessageID: &m})
	done := c.finish(other.ID, 0) // another replay repeats the rest
	if done.Accepted != 4 {
		t.Errorf("the other replay is %+v", done)
	}
	steer(func() (replay.Replay, error) { return c.Resume(t.Context(), someone, plan.ID) }, replay.Running)
	c.runs(1, func() bool { return c.get(plan.ID).Status == replay.Completed })
	if r := c.get(plan.ID); r.Accepted != 2 || r.LeftOut != 4 {
		t.Errorf("the replay is %+v", r)
	}
	for id, n := range c.mailed() {
		if n != 1 {
			t.Errorf("%s was mailed %d times", id, n)
		}
	}
	cancelled := c.plan(replay.Filter{})
	steer(func() (replay.Replay, error) { return c.Cancel(t.Context(), someone, cancelled.ID) }, replay.Cancelled)
	if _, err := c.Start(t.Context(), someone, cancelled.ID, 0); !errors.As(err, &early) {
		t.Errorf("a cancelled plan was started: %v", err)
	}
	c.whole()
}

// Unknown alerts are repeated once automatically, when the wait is over, and only if they are
// still unknown.
func TestUnknownAnswersAreSettled(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.users(3)
	c.fake.Queue(sendgridfake.TimeoutBefore(nil))
	m := c.send(3)
	c.standsAs(m, map[string]string{"u0": "unknown 1", "u1": "unknown 1", "u2": "unknown 1"})
	s := &replay.UnknownAlerts{Replays: c.replaysOf(storetest.Open(t, c.url, store.RoleNotify)), After: 10 * time.Minute}
	settle := func(want int) {
		t.Helper()
		var n int
		if err := s.Repeat(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.admin.QueryRow(t.Context(), `SELECT count(*) FROM record.replays WHERE planned_by = 'process:notify-worker'`).Scan(&n); err != nil || n != want {
			t.Fatalf("%d replays were made, want %d: %v", n, want, err)
		}
	}
	settle(0)
	c.pass(11 * time.Minute)
	settle(1)
	settle(1) // the replay is running
	c.fake.Queue(sendgridfake.TimeoutBefore(nil))
	c.runs(2, func() bool {
		var done bool
		err := c.admin.QueryRow(t.Context(), `SELECT bool_and(status = 'completed') FROM record.replays`).Scan(&done)
		return err == nil && done
	})
	c.standsAs(m, map[string]string{"u0": "unknown 2", "u1": "unknown 2", "u2": "unknown 2"})
	c.pass(time.Hour)
	settle(1) // the rest is for an operator
	plan := c.plan(replay.Filter{State: []events.AlertState{events.AlertUnknown}})
	if done := c.finish(plan.ID, 0); done.Accepted != 3 {
		t.Errorf("the replay is %+v", done)
	}
	c.standsAs(m, map[string]string{"u0": "accepted 3", "u1": "accepted 3", "u2": "accepted 3"})
	c.whole()
}

// A replay is cancelled while a part of it waits: recipients with a request get their
// outcome, and another replay may repeat the rest.
func TestACancelledPartIsWoundUp(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	ids := c.users(3)
	c.refuse(ids...)
	// Two share an address, so the part needs two requests.
	if _, err := c.admin.Exec(t.Context(), `UPDATE app.portal_users SET email = 'u0@x.test' WHERE portal_user_no = 2`); err != nil {
		t.Fatal(err)
	}
	m := c.send(3)
	c.refuse()
	plan := c.plan(replay.Filter{MessageID: &m})
	if _, err := c.Start(t.Context(), someone, plan.ID, 0); err != nil {
		t.Fatal(err)
	}
	c.fake.Queue(sendgridfake.Step{}, sendgridfake.RateLimit(time.Minute))
	part := func(what string) func() bool {
		return func() bool {
			var is bool
			err := c.admin.QueryRow(t.Context(), `SELECT count(*) > 0 AND bool_and(`+what+`) FROM app.alert_work WHERE kind = 'replay'`).Scan(&is)
			return err == nil && is
		}
	}
	c.runs(1, part("reason <> ''"))
	if _, err := c.Cancel(t.Context(), someone, plan.ID); err != nil {
		t.Fatal(err)
	}
	c.pass(2 * time.Minute)
	c.runs(2, part("state = 'done'"))
	c.until(func() bool { return c.get(plan.ID).Accepted == 2 })
	c.standsAs(m, map[string]string{"u0": "accepted 2", "u1": "failed 1", "u2": "accepted 2"})
	if done := c.finish(c.plan(replay.Filter{MessageID: &m}).ID, 0); done.Count != 1 || done.Accepted != 1 {
		t.Errorf("the next replay is %+v", done)
	}
	c.standsAs(m, map[string]string{"u0": "accepted 2", "u1": "accepted 2", "u2": "accepted 2"})
	c.whole()
}
