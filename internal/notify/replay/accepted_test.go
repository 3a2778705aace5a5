package replay_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"postern/internal/events"
	"postern/internal/notify/replay"
)

// Whatever filters are replayed, concurrently and repeatedly, no accepted alert is sent
// again: each portal user gets as many mails as accepted alerts.
func TestAcceptedIsNeverRepeatedByAnyFilter(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	ids := c.users(12)
	some := rapid.SliceOfDistinct(rapid.SampledFrom(ids), rapid.ID)
	var messages []uuid.UUID
	for i := range 3 {
		c.refuse(some.Example(i)...)
		messages = append(messages, c.send(12))
	}
	for i, id := range []string{"u1", "u2"} {
		c.says(events.DeliveryOpened{MessageID: messages[i], PortalUserID: id, PortalUserNo: int32(i + 2)}) // #nosec G115 -- few
	}
	filter := rapid.Custom(func(t *rapid.T) (f replay.Filter) {
		if rapid.Bool().Draw(t, "of one message") {
			f.MessageID = ptr(rapid.SampledFrom(messages).Draw(t, "message"))
		}
		f.State = rapid.SliceOf(rapid.SampledFrom([]events.AlertState{events.AlertFailed, events.AlertUnknown})).Draw(t, "states")
		f.Reason = rapid.SampledFrom([]string{"", full}).Draw(t, "reason")
		f.Domain = rapid.SampledFrom([]string{"", "x.test"}).Draw(t, "domain")
		return f
	})
	for round := range 2 {
		c.refuse(some.Example(10 + round)...)
		for i := range 8 {
			plan := c.plan(filter.Example(8*round + i))
			if _, err := c.Start(t.Context(), someone, plan.ID, 0); err != nil {
				t.Fatal(err)
			}
		}
		c.runs(3, func() bool {
			var open int
			err := c.admin.QueryRow(t.Context(), `SELECT count(*) FROM record.replays WHERE status <> 'completed'`).Scan(&open)
			return err == nil && open == 0
		})
	}
	accepted, failed := map[string]int{}, 0
	for _, m := range messages {
		for id, stands := range c.stands(m) {
			switch {
			case stands[:3] == "acc":
				accepted[id]++
			case !slices.Contains([]string{"failed 1", "failed 2", "failed 3"}, stands):
				t.Errorf("the alert of %s is %s", id, stands)
			default:
				failed++
			}
		}
	}
	for _, id := range ids {
		if n := c.mailed()[id]; n != accepted[id] {
			t.Errorf("%s was mailed %d times, and %d alerts are accepted", id, n, accepted[id])
		}
	}
	if failed == 0 {
		t.Error("all alerts were accepted: nothing was tested")
	}
	c.whole()
}
