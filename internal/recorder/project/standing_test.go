package project

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"postern/internal/events"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func repeat(message uuid.UUID, by uuid.UUID, attempt int, part int64, fates map[int32]events.AlertState) events.AlertOutcome {
	o := events.AlertOutcome{MessageID: message, Chunks: 2, Attempt: attempt, Recipients: len(fates), State: events.AlertSkipped, ReplayID: &by, Part: part,
		Exceptions: []events.AlertException{}, Requests: []events.AlertRequest{}}
	for no := range int32(10) {
		if state, ok := fates[no]; ok {
			o.State = state
			o.Exceptions = append(o.Exceptions, events.AlertException{PortalUserID: fmt.Sprintf("pu-%d", no), PortalUserNo: no, State: state})
		}
	}
	return o
}

func planned(id uuid.UUID, count int) events.ReplayPlanned {
	return events.ReplayPlanned{ReplayID: id, Filter: events.ReplayFilter{State: []events.AlertState{events.AlertFailed}}, Reason: "r", Count: count, Digest: recordertest.NoDigest,
		ByReason: map[string]int{}, Excluded: map[string]int{}}
}

// attempts are outcomes of one chunk's alerts, in some order, and the expected final state
// and number of attempts of each recipient.
type attempts struct {
	outcomes []events.Body
	want     map[int32]string
}

var message, byReplay = uuid.MustParse("0197aaaa-0000-7000-8000-000000000001"), uuid.MustParse("0197aaaa-0000-7000-8000-000000000002")

// anyAttempts draws up to three repetitions of a first attempt that was unknown for all
// recipients, and whose answer comes late or never.
var anyAttempts = rapid.Custom(func(t *rapid.T) attempts {
	var a attempts
	fates := map[int32]map[int]events.AlertState{}
	for no := range int32(3) {
		fates[no+1] = map[int]events.AlertState{1: events.AlertUnknown}
	}
	if rapid.Bool().Draw(t, "the answer comes") {
		state := rapid.SampledFrom([]events.AlertState{events.AlertAccepted, events.AlertFailed}).Draw(t, "answer")
		a.outcomes = append(a.outcomes, recordertest.OutcomeOf(message, 0, 3, state))
		for no := range fates {
			fates[no][1] = state
		}
	}
	state := rapid.SampledFrom([]events.AlertState{events.AlertAccepted, events.AlertFailed, events.AlertSkipped, events.AlertUnknown})
	for attempt := 2; attempt <= 4; attempt++ {
		came := map[int32]events.AlertState{}
		for no := range int32(3) {
			if rapid.Bool().Draw(t, "repeated") {
				came[no+1] = state.Draw(t, "fate")
				fates[no+1][attempt] = came[no+1]
			}
		}
		if len(came) > 0 {
			a.outcomes = append(a.outcomes, repeat(message, byReplay, attempt, int64(attempt), came))
		}
	}
	a.outcomes = rapid.Permutation(a.outcomes).Draw(t, "order")
	a.want = map[int32]string{}
	for no, of := range fates {
		last := slices.Max(slices.Collect(maps.Keys(of)))
		stands := of[last]
		if slices.Contains(slices.Collect(maps.Values(of)), events.AlertAccepted) {
			stands = events.AlertAccepted
		}
		a.want[no] = fmt.Sprint(stands, last)
	}
	return a
})

// Whatever the outcomes of the attempts at an alert, and in whichever order they are
// recorded: an accepted alert stays accepted, otherwise the latest attempt counts, and within
// one attempt an answer counts before unknown. The counters agree with the rows.
func TestTheLatestAttemptCountsInAnyOrder(t *testing.T) {
	conn := recordertest.Connect(t, storetest.Pool(t, store.RoleRecorder))
	for seed := range 15 {
		a := anyAttempts.Example(seed)
		story := append([]events.Body{recordertest.SentTo(message, events.HoldNone), recordertest.Chunk(message, 0, 1, 2, 3), planned(byReplay, 100),
			events.ReplayStarted{ReplayID: byReplay}, recordertest.OutcomeOf(message, 0, 3, events.AlertUnknown)}, a.outcomes...)
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		project(t, tx, recordertest.Facts(t, story...), 5+seed%4, 1+seed%3) // in one run, and in several
		rows, err := tx.Query(t.Context(), `SELECT portal_user_no, alert_state, alert_attempts FROM record.delivery_status`)
		if err != nil {
			t.Fatal(err)
		}
		got, counted := map[int32]string{}, recordertest.MessageState{Status: "sending", Delivered: 3}
		for rows.Next() {
			var no int32
			var s standing
			if err := rows.Scan(&no, &s.state, &s.attempt); err != nil {
				t.Fatal(err)
			}
			got[no] = fmt.Sprint(s.state, s.attempt)
			*map[events.AlertState]*int{events.AlertAccepted: &counted.Accepted, events.AlertFailed: &counted.Failed,
				events.AlertSkipped: &counted.Skipped, events.AlertUnknown: &counted.Unknown}[s.state]++
		}
		if diff := cmp.Diff(a.want, got); diff != "" {
			t.Errorf("%d: (-want +got):\n%s", seed, diff)
		}
		if diff := cmp.Diff(counted, recordertest.StateOf(t, tx, message)); diff != "" {
			t.Errorf("%d: the message's counters (-rows +counters):\n%s", seed, diff)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A late answer to an outcome that said unknown for single recipients replaces only their
// state, whatever the state of the alert by then.
func TestALateAnswerReplacesUnknown(t *testing.T) {
	conn := recordertest.Connect(t, storetest.Pool(t, store.RoleRecorder))
	exception := func(no int32, state events.AlertState) events.AlertException {
		return events.AlertException{PortalUserID: fmt.Sprintf("pu-%d", no), PortalUserNo: no, State: state}
	}
	first := recordertest.OutcomeOf(message, 0, 4, events.AlertAccepted, exception(3, events.AlertUnknown), exception(4, events.AlertUnknown))
	three := recordertest.OutcomeOf(message, 0, 4, events.AlertAccepted, exception(4, events.AlertUnknown))
	all := recordertest.OutcomeOf(message, 0, 4, events.AlertAccepted)
	refused := recordertest.OutcomeOf(message, 0, 4, events.AlertAccepted, exception(3, events.AlertFailed), exception(4, events.AlertFailed))
	mostly := recordertest.OutcomeOf(message, 0, 4, events.AlertUnknown, exception(1, events.AlertSkipped))
	replay := func(no int32, state events.AlertState) events.Body {
		return repeat(message, byReplay, 2, 7, map[int32]events.AlertState{no: state})
	}
	for name, c := range map[string]struct {
		outcomes []events.Body
		want     string
	}{
		"one of two":                      {[]events.Body{first, three}, "accepted 1, accepted 1, accepted 1, unknown 1"},
		"one, then the other":             {[]events.Body{first, three, all}, "accepted 1, accepted 1, accepted 1, accepted 1"},
		"the other way round":             {[]events.Body{first, all, three}, "accepted 1, accepted 1, accepted 1, accepted 1"},
		"refused":                         {[]events.Body{first, refused}, "accepted 1, accepted 1, failed 1, failed 1"},
		"of most, by one":                 {[]events.Body{mostly, recordertest.OutcomeOf(message, 0, 4, events.AlertUnknown, exception(1, events.AlertSkipped), exception(2, events.AlertAccepted))}, "skipped 1, accepted 1, unknown 1, unknown 1"},
		"repeated, failed, and it was in": {[]events.Body{first, replay(3, events.AlertFailed), all}, "accepted 1, accepted 1, accepted 2, accepted 1"},
		"repeated, accepted":              {[]events.Body{first, replay(3, events.AlertAccepted), refused}, "accepted 1, accepted 1, accepted 2, failed 1"},
		"came back, repeated, failed":     {[]events.Body{first, recordertest.ReportedBy(message, 1, recordertest.Said(1, "bounce", 9, "blocked")), replay(1, events.AlertFailed), all}, "failed 2, accepted 1, accepted 1, accepted 1"},
	} {
		t.Run(name, func(t *testing.T) {
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(t.Context()) }()
			project(t, tx, recordertest.Facts(t, append([]events.Body{recordertest.SentTo(message, events.HoldNone), recordertest.Chunk(message, 0, 1, 2, 3, 4), planned(byReplay, 100),
				events.ReplayStarted{ReplayID: byReplay}}, c.outcomes...)...), 5)
			var got, counted string
			if err := tx.QueryRow(t.Context(), `SELECT string_agg(alert_state || ' ' || alert_attempts, ', ' ORDER BY portal_user_no),
				((SELECT row(alert_accepted, alert_failed, alert_skipped, alert_unknown)::text FROM record.messages) =
				row(count(*) FILTER (WHERE alert_state = 'accepted'), count(*) FILTER (WHERE alert_state = 'failed'),
				    count(*) FILTER (WHERE alert_state = 'skipped'), count(*) FILTER (WHERE alert_state = 'unknown'))::text)::text
				FROM record.delivery_status`).Scan(&got, &counted); err != nil {
				t.Fatal(err)
			}
			if got != c.want || counted != "true" {
				t.Errorf("they stand as %s, want %s; counted so: %s", got, c.want, counted)
			}
		})
	}
}

// The same for the rule alone, with many more outcomes.
func TestTheOrderOfOutcomesMakesNoDifference(t *testing.T) {
	outcome := rapid.Custom(func(t *rapid.T) standing {
		attempt := rapid.IntRange(1, 4).Draw(t, "attempt")
		// An attempt has one answer, however often it is recorded; before it, unknown.
		answer := []events.AlertState{events.AlertFailed, events.AlertAccepted, events.AlertSkipped, events.AlertFailed}[attempt-1]
		return standing{state: rapid.SampledFrom([]events.AlertState{answer, events.AlertUnknown}).Draw(t, "state"), attempt: attempt}
	})
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(outcome, 1, 8).Draw(t, "outcomes")
		fold := func(all []standing) standing {
			s := all[0]
			for _, o := range all[1:] {
				s = s.then(o)
			}
			return s
		}
		if one, other := fold(all), fold(rapid.Permutation(all).Draw(t, "order")); one != other {
			t.Errorf("%v comes to %v, and in another order to %v", all, one, other)
		}
	})
}

// An event moves a replay only from the statuses of docs/states.md; one that comes too late
// changes nothing.
func TestTheStatesOfAReplay(t *testing.T) {
	conn := recordertest.Connect(t, storetest.Pool(t, store.RoleRecorder))
	id := uuid.MustParse("0197aaaa-0000-7000-8000-000000000002")
	start, pause, resume := events.ReplayStarted{ReplayID: id, Rate: 60}, events.ReplayPaused{ReplayID: id, Change: uuid.New()}, events.ReplayResumed{ReplayID: id, Change: uuid.New()}
	cancel, complete := events.ReplayCancelled{ReplayID: id}, events.ReplayCompleted{ReplayID: id, LeftOut: 3}
	for want, stories := range map[string][][]events.Body{
		"planned":   {{}, {pause}, {resume}, {complete}},
		"running":   {{start}, {start, pause, resume}, {start, resume}},
		"paused":    {{start, pause}},
		"completed": {{start, complete}, {start, pause, complete}, {start, complete, cancel}},
		"cancelled": {{cancel}, {cancel, start}, {start, cancel, complete}, {start, pause, cancel, resume}},
	} {
		for i, story := range stories {
			t.Run(fmt.Sprintf("%s/%d", want, i), func(t *testing.T) {
				tx, err := conn.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = tx.Rollback(t.Context()) }()
				project(t, tx, recordertest.Facts(t, append([]events.Body{planned(id, 3)}, story...)...))
				var got string
				if err := tx.QueryRow(t.Context(), `SELECT status FROM replays`).Scan(&got); err != nil || got != want {
					t.Errorf("it is %s, %v", got, err)
				}
			})
		}
	}
}
