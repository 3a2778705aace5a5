package replay_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/notify/replay"
	"postern/internal/notify/sendgridfake"
	"postern/internal/recorder/state"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// pause pauses alerting, of one message or of all.
func (c *clinic) pause(message *uuid.UUID) {
	c.Helper()
	c.says(events.AlertingPaused{Change: uuid.New(), MessageID: message, Reason: "SendGrid reports trouble"})
}

func (c *clinic) resume(message *uuid.UUID) {
	c.Helper()
	c.says(events.AlertingResumed{Change: uuid.New(), MessageID: message, Reason: "it is over"})
}

// heldBy checks that a pause of the message or, for nil, of all messages holds so many alerts
// of a replay.
func (c *clinic) heldBy(id uuid.UUID, message *uuid.UUID, alerts int) {
	c.Helper()
	held := c.get(id).Held
	if len(held) != 1 || held[0].Alerts != alerts || held[0].Reason != "SendGrid reports trouble" ||
		fmt.Sprint(held[0].MessageID) != fmt.Sprint(message) && *held[0].MessageID != *message {
		c.Errorf("it is held by %v, want the pause of %v to hold %d alerts", held, message, alerts)
	}
}

// turns lets one worker send all alerts that are due now, as in so many turns of RunReplays.
func (c *clinic) turns(n int) {
	c.Helper()
	w := c.worker()
	for range n {
		if err := w.ReplayDue(c.Context()); err != nil {
			c.Fatal(err)
		}
	}
}

// held is a running replay of three alerts, two of one message and one of another, during a
// pause.
type held struct {
	*clinic
	id           uuid.UUID
	first, other uuid.UUID
}

func newHeld(t *testing.T, rate int) *held {
	t.Helper()
	h := &held{clinic: newClinic(t)}
	h.users(2)
	h.refuse("u0", "u1")
	h.first, h.other = h.send(2), h.send(1)
	h.refuse()
	h.stopped = time.Now()
	h.id = h.plan(replay.Filter{}).ID
	if _, err := h.Start(t.Context(), someone, h.id, rate); err != nil {
		t.Fatal(err)
	}
	return h
}

// ends checks that the replay ends with the given status and number of accepted alerts, that
// the alerts of the first message have the given states, and that no alert was sent twice.
func (h *held) ends(status state.Replay, accepted int, first string) {
	h.Helper()
	open := 0
	h.runs(2, func() bool {
		err := h.admin.QueryRow(h.Context(), `SELECT count(*) FROM app.alert_work WHERE kind = 'replay' AND state <> 'done'`).Scan(&open)
		return err == nil && open == 0 && h.get(h.id).Status == status
	})
	if r := h.get(h.id); r.Accepted != accepted || len(r.Held) != 0 {
		h.Errorf("the replay is %+v", r)
	}
	h.standsAs(h.first, map[string]string{"u0": first, "u1": first})
	h.whole()
}

// A pause holds a replay for as long as it lasts, and no longer. During the pause the replay
// names it and the number of alerts that it holds. Whatever happens to the replay or the
// message during the pause, the replay ends, and alerts that were not sent can be planned
// again.
func TestAPauseHoldsAReplay(t *testing.T) {
	t.Parallel()
	deferred := func(h *held) { // the part of the first message waits for SendGrid
		h.fake.Queue(sendgridfake.RateLimit(time.Minute))
		h.turns(1)
		h.pass(2 * time.Minute)
	}
	for name, story := range map[string]func(h *held){
		"the message, then resumed": func(h *held) {
			h.pause(&h.first)
			h.turns(2)
			h.heldBy(h.id, &h.first, 2)
			if h.fake.Count() != 1 { // of the other message
				h.Errorf("%d alerts went out", h.fake.Count())
			}
			h.resume(&h.first)
			h.ends(replay.Completed, 3, "accepted 2")
		},
		"all, then resumed": func(h *held) {
			h.pause(nil)
			h.turns(2)
			h.heldBy(h.id, nil, 3)
			h.resume(nil)
			h.ends(replay.Completed, 3, "accepted 2")
		},
		"all and the message, resumed one by one": func(h *held) {
			h.pause(&h.first)
			h.pause(nil)
			h.turns(1)
			h.heldBy(h.id, nil, 3)
			h.resume(nil)
			h.turns(2)
			h.heldBy(h.id, &h.first, 2)
			h.resume(&h.first)
			h.ends(replay.Completed, 3, "accepted 2")
		},
		"the message and all, resumed the other way round": func(h *held) {
			h.pause(&h.first)
			h.pause(nil)
			h.resume(&h.first)
			h.turns(1)
			h.heldBy(h.id, nil, 3)
			h.resume(nil)
			h.ends(replay.Completed, 3, "accepted 2")
		},
		"while a rate limit puts a part off": func(h *held) {
			deferred(h)
			h.pause(nil)
			h.turns(2)
			h.heldBy(h.id, nil, 3)
			if h.fake.Count() != 0 {
				h.Errorf("%d alerts went out", h.fake.Count())
			}
			h.resume(nil)
			h.ends(replay.Completed, 3, "accepted 2")
		},
		"cancelled while a part is held": func(h *held) {
			deferred(h)
			h.pause(nil)
			h.turns(1)
			if _, err := h.Cancel(h.Context(), someone, h.id); err != nil {
				h.Fatal(err)
			}
			h.ends(replay.Cancelled, 0, "failed 1") // the pause is still in force
			again := h.plan(replay.Filter{})
			if again.Count != 3 {
				h.Errorf("the next plan is %+v", again)
			}
			h.resume(nil)
			h.id = again.ID
			if _, err := h.Start(h.Context(), someone, h.id, 0); err != nil {
				h.Fatal(err)
			}
			h.ends(replay.Completed, 3, "accepted 2")
		},
		"cancelled before a part was taken": func(h *held) {
			h.pause(nil)
			h.turns(1)
			if _, err := h.Cancel(h.Context(), someone, h.id); err != nil {
				h.Fatal(err)
			}
			h.resume(nil)
			h.ends(replay.Cancelled, 0, "failed 1")
			if again := h.plan(replay.Filter{}); again.Count != 3 {
				h.Errorf("the next plan is %+v", again)
			}
		},
		"the message is recalled while it is paused": func(h *held) {
			deferred(h)
			h.pause(&h.first)
			h.turns(1)
			h.says(events.MessageRecalled{MessageID: h.first, StaffID: "s1", Reason: "wrong"})
			h.ends(replay.Completed, 1, "failed 1") // the pause is still in force
			if r := h.get(h.id); r.LeftOutBy["the message was recalled"] != 2 || r.LeftOut != 2 {
				h.Errorf("the replay is %+v", r)
			}
		},
		"the replay is paused and resumed too": func(h *held) {
			deferred(h)
			h.pause(nil)
			if _, err := h.Pause(h.Context(), someone, h.id); err != nil {
				h.Fatal(err)
			}
			h.turns(1)
			h.resume(nil)
			h.turns(1)
			if h.fake.Count() != 0 {
				h.Errorf("%d alerts went out", h.fake.Count())
			}
			if _, err := h.Resume(h.Context(), someone, h.id); err != nil {
				h.Fatal(err)
			}
			h.ends(replay.Completed, 3, "accepted 2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(newHeld(t, 0))
		})
	}
}

// A replay keeps its rate after a pause too: the held alerts are not sent all at once.
func TestThePaceHoldsAfterAPause(t *testing.T) {
	t.Parallel()
	h := newHeld(t, 6) // one in ten seconds
	h.pause(nil)
	for range 4 {
		h.turns(1)
		h.pass(time.Hour)
	}
	h.resume(nil)
	for want := 1; want <= 3; want++ {
		h.turns(2)
		if n := h.fake.Count(); n != want {
			t.Fatalf("%d alerts went out, want %d", n, want)
		}
		h.pass(10 * time.Second)
	}
	h.ends(replay.Completed, 3, "accepted 2")
}

// A held replay does not stop other replays.
func TestAHeldReplayHoldsNoOther(t *testing.T) {
	t.Parallel()
	h := newHeld(t, 0)
	h.pause(&h.first)
	h.turns(2)
	h.refuse("u0")
	third := h.send(1)
	h.refuse()
	if done := h.finish(h.plan(replay.Filter{MessageID: &third}).ID, 0); done.Accepted != 1 {
		t.Errorf("the other replay is %+v", done)
	}
	h.resume(&h.first)
	h.ends(replay.Completed, 3, "accepted 2")
}

// A pause of one message holds the automatic replay of its unknown alerts. Unknown alerts of
// other messages are repeated during the pause, and the held ones when it ends.
func TestAPauseHoldsNoOtherMessagesUnknownAlerts(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.users(2)
	lose := func() uuid.UUID {
		c.fake.Queue(sendgridfake.TimeoutBefore(nil))
		return c.send(2)
	}
	paused := lose()
	s := &replay.UnknownAlerts{Replays: c.replaysOf(storetest.Open(t, c.url, store.RoleNotify)), After: 10 * time.Minute}
	settle := func(want int) {
		t.Helper()
		if err := s.Repeat(t.Context()); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := c.admin.QueryRow(t.Context(), `SELECT count(*) FROM record.replays`).Scan(&n); err != nil || n != want {
			t.Fatalf("%d replays were made, want %d: %v", n, want, err)
		}
	}
	completed := func(n int) func() bool {
		return func() bool {
			var done int
			err := c.admin.QueryRow(t.Context(), `SELECT count(*) FROM record.replays WHERE status = 'completed'`).Scan(&done)
			return err == nil && done == n
		}
	}
	c.pause(&paused)
	c.pass(11 * time.Minute)
	settle(1)
	free, another := lose(), lose()
	settle(1) // nothing else is due yet
	c.pass(11 * time.Minute)
	settle(3)
	settle(3)
	c.runs(2, completed(2))
	for _, id := range []uuid.UUID{free, another} {
		c.standsAs(id, map[string]string{"u0": "accepted 2", "u1": "accepted 2"})
	}
	c.standsAs(paused, map[string]string{"u0": "unknown 1", "u1": "unknown 1"})
	settle(3)
	c.resume(&paused)
	c.runs(2, completed(3))
	c.standsAs(paused, map[string]string{"u0": "accepted 2", "u1": "accepted 2"})
	c.whole()
}
