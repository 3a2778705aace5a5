package project

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

var ended = uuid.MustParse("0197aaaa-0000-7000-8000-000000000001")

// noticed gives the notices of the record: the sequences of the event that ended the message, and of
// the one that renewed the notice last.
func noticed(t testing.TB, tx pgx.Tx) string {
	t.Helper()
	var all string
	if err := tx.QueryRow(t.Context(), `SELECT coalesce(string_agg(sender_id || ' ' || ended_seq || ' ' || seq, ', ' ORDER BY message_id), '') FROM notices`).Scan(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// replayed is the outcome of a replay for portal user 2.
func replayed(replay uuid.UUID, to events.AlertState) events.AlertOutcome {
	o := recordertest.OutcomeOf(ended, 0, 1, to, events.AlertException{PortalUserID: "pu-2", PortalUserNo: 2, State: to, Reason: reasonOf(to)})
	o.Attempt, o.ReplayID, o.Part = 2, &replay, 1
	return o
}

func reasonOf(s events.AlertState) string {
	if s == events.AlertAccepted {
		return ""
	}
	return "the mailbox is full"
}

// A notice is made by the event by which a message ends, and by no other.
func TestAMessageEndsOnce(t *testing.T) {
	conn := recordertest.Connect(t, storetest.Pool(t, store.RoleRecorder))
	replay := uuid.MustParse("0197aaaa-0000-7000-8000-000000000009")
	bulk, chosen := recordertest.SentTo(ended, events.HoldNone, "all_portal_users"), recordertest.SentTo(ended, events.HoldNone)
	first, second := recordertest.Chunk(ended, 0, 1, 2, 3), recordertest.Chunk(ended, 1, 5, 9)
	done := events.FanoutCompleted{MessageID: ended, Deliveries: 5, Chunks: 2, Notice: true}
	small := events.FanoutCompleted{MessageID: ended, Deliveries: 3, Chunks: 1, Notice: true}
	failed := events.AlertException{PortalUserID: "pu-2", PortalUserNo: 2, State: events.AlertFailed, Reason: reasonOf(events.AlertFailed)}
	of := func(chunk, n int, s events.AlertState, x ...events.AlertException) events.Body {
		return recordertest.OutcomeOf(ended, chunk, n, s, x...)
	}
	accepted0, accepted1 := of(0, 3, events.AlertAccepted), of(1, 2, events.AlertAccepted)
	bounced := recordertest.ReportedBy(ended, 1, recordertest.Said(2, "bounce", 5, "bounce", "no such mailbox"))
	story := func(bodies ...events.Body) []events.Body { return bodies }
	for _, c := range []struct {
		name  string
		story []events.Body
		want  string
	}{
		{"the last alert ends it", story(bulk, first, second, done, accepted0, accepted1), "s1 6 6"},
		{"the fan-out ends it", story(bulk, first, second, accepted0, accepted1, done), "s1 6 6"},
		{"not all chunks are recorded", story(bulk, first, accepted0), ""},
		{"a chunk of alerts is held or parked", story(bulk, first, second, done, accepted0), ""},
		{"a parked chunk of deliveries", story(bulk, first, accepted0, done), ""}, // the count differs: the end is parked
		{"to no one", story(bulk, events.FanoutCompleted{MessageID: ended, Notice: true}), "s1 2 2"},
		{"before notices", story(bulk, first, accepted0, events.FanoutCompleted{MessageID: ended, Deliveries: 3, Chunks: 1}, bounced), ""},
		{"unknown has an outcome", story(bulk, first, small, of(0, 3, events.AlertUnknown)), "s1 4 4"},
		{"a late answer changes nothing", story(bulk, first, small, of(0, 3, events.AlertUnknown), accepted0), "s1 4 4"},
		{"a later bounce changes nothing", story(bulk, first, small, accepted0, bounced), "s1 4 4"},
		{"an opening changes nothing", story(bulk, first, small, accepted0, events.DeliveryOpened{MessageID: ended, PortalUserID: "pu-2", PortalUserNo: 2}), "s1 4 4"},
		{"undone", story(recordertest.SentTo(ended, events.HoldUndo, "all_portal_users"), events.MessageCancelled{MessageID: ended, StaffID: "s1"}), ""},
		{"recalled while it went out", story(bulk, first, events.MessageRecalled{MessageID: ended, StaffID: "s1", Reason: "r"}, small, of(0, 3, events.AlertSkipped)), "s1 5 5"},
		{"recalled afterwards", story(bulk, first, small, accepted0, events.MessageRecalled{MessageID: ended, StaffID: "s1", Reason: "r"}), "s1 4 4"},
		{"to a person, and all went well", story(chosen, first, small, accepted0), ""},
		{"to a person, and one failed", story(chosen, first, small, of(0, 3, events.AlertAccepted, failed)), "s1 4 4"},
		{"to a person, and it bounced later", story(chosen, first, small, accepted0, bounced), "s1 5 5"},
		{"to a person who is no recipient any more", story(chosen, events.FanoutCompleted{MessageID: ended, Notice: true}), "s1 2 2"},
		{"to a person, recalled while it went out", story(chosen, first, events.MessageRecalled{MessageID: ended, StaffID: "s1", Reason: "r"}, small, of(0, 3, events.AlertSkipped)), ""},
		{"a replay ends", story(bulk, first, small, of(0, 3, events.AlertAccepted, failed), planned(replay, 1), events.ReplayStarted{ReplayID: replay, Rate: 1}, replayed(replay, events.AlertAccepted), events.ReplayCompleted{ReplayID: replay}), "s1 4 8"},
		{"a replay is cancelled", story(bulk, first, small, of(0, 3, events.AlertAccepted, failed), planned(replay, 1), events.ReplayStarted{ReplayID: replay, Rate: 1}, replayed(replay, events.AlertFailed), events.ReplayCancelled{ReplayID: replay}, events.ReplayCompleted{ReplayID: replay}), "s1 4 8"},
		{"a replay runs", story(bulk, first, small, of(0, 3, events.AlertAccepted, failed), planned(replay, 1), events.ReplayStarted{ReplayID: replay, Rate: 1}, replayed(replay, events.AlertAccepted)), "s1 4 4"},
		{"a replay without this message", story(bulk, first, small, of(0, 3, events.AlertAccepted, failed), planned(replay, 1), events.ReplayStarted{ReplayID: replay, Rate: 1}, events.ReplayCompleted{ReplayID: replay}), "s1 4 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			evs := recordertest.Facts(t, c.story...)
			// Redeliveries are repeats, at once or later. Neither they nor the runs make a difference.
			var doubled []events.Event
			for _, e := range evs {
				doubled = append(doubled, e, e)
			}
			for what, all := range map[string][]events.Event{"once": evs, "again": append(evs[:len(evs):len(evs)], evs...)} {
				for _, run := range []int{1, 2, len(all)} {
					if got := noticesOf(t, conn, all, run); got != c.want {
						t.Errorf("%s, in runs of %d: the notices are %q, want %q", what, run, got, c.want)
					}
				}
			}
			if got := noticesOf(t, conn, doubled, 3); (got == "") != (c.want == "") || strings.Count(got, "s1") > 1 {
				t.Errorf("with each event twice: the notices are %q, want %q with other sequences", got, c.want)
			}
		})
	}
}

// noticesOf projects events in runs of a size, and gives the notices.
func noticesOf(t *testing.T, conn *pgx.Conn, all []events.Event, run int) string {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	project(t, tx, all, slices.Repeat([]int{run}, len(all))...)
	return noticed(t, tx)
}

// Two replays of alerts of a message run at once: the notice is renewed when the one ends that
// repeated alerts last.
func TestTwoReplaysRenewANotice(t *testing.T) {
	conn := recordertest.Connect(t, storetest.Pool(t, store.RoleRecorder))
	a, b := uuid.MustParse("0197aaaa-0000-7000-8000-00000000000a"), uuid.MustParse("0197aaaa-0000-7000-8000-00000000000b")
	story := []events.Body{recordertest.SentTo(ended, events.HoldNone, "all_portal_users"), recordertest.Chunk(ended, 0, 1, 2, 3),
		events.FanoutCompleted{MessageID: ended, Deliveries: 3, Chunks: 1, Notice: true}, recordertest.OutcomeOf(ended, 0, 3, events.AlertFailed)}
	story = append(story, planned(a, 1), planned(b, 1), events.ReplayStarted{ReplayID: a, Rate: 1}, events.ReplayStarted{ReplayID: b, Rate: 1})
	third := replayed(b, events.AlertAccepted)
	third.Exceptions[0].PortalUserID, third.Exceptions[0].PortalUserNo, third.Part = "pu-3", 3, 2
	story = append(story, replayed(a, events.AlertAccepted), third, events.ReplayCompleted{ReplayID: a}, events.ReplayCompleted{ReplayID: b})
	var got []string
	for n := len(story) - 2; n <= len(story); n++ {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		project(t, tx, recordertest.Facts(t, story[:n]...))
		got = append(got, noticed(t, tx))
		_ = tx.Rollback(t.Context())
	}
	last := len(story)
	if diff := cmp.Diff([]string{"s1 4 4", "s1 4 4", fmt.Sprintf("s1 4 %d", last)}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
