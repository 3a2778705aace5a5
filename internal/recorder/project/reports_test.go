package project

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"postern/internal/events"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// alert is the part of an alert that pages show.
type alert struct{ State, Reason string }

func alertsOf(t testing.TB, tx pgx.Tx, message uuid.UUID) map[int32]alert {
	t.Helper()
	rows, err := tx.Query(t.Context(), `SELECT portal_user_no, alert_state, alert_reason FROM record.delivery_status WHERE message_id = $1`, message)
	if err != nil {
		t.Fatal(err)
	}
	all := map[int32]alert{}
	var no int32
	var a alert
	if _, err := pgx.ForEachRow(rows, []any{&no, &a.State, &a.Reason}, func() error { all[no] = a; return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// Each report changes an alert that SendGrid had accepted to the expected state and reason.
func TestWhatAReportMakesOfAnAlert(t *testing.T) {
	t.Parallel()
	conn := recordertest.Connect(t, storetest.Pool(t, store.RoleRecorder))
	m := uuid.New()
	took := alert{State: "accepted"}
	failed := func(words string) alert { return alert{"failed", words} }
	for _, c := range []struct {
		name    string
		reports []events.Report
		want    alert
	}{
		{"processed", []events.Report{recordertest.Said(1, "processed", 1)}, took},
		{"delivered", []events.Report{recordertest.Said(1, "delivered", 1)}, took},
		{"opened", []events.Report{recordertest.Said(1, "open", 1)}, took},
		{"a type of the future", []events.Report{recordertest.Said(1, "teleported", 1)}, took},
		{"deferred", []events.Report{recordertest.Said(1, "deferred", 1, "", "450 later")}, took},
		{"deferred, then delivered", []events.Report{recordertest.Said(1, "deferred", 1, "", "450 later"), recordertest.Said(1, "delivered", 9)}, took},
		{"bounced", []events.Report{recordertest.Said(1, "bounce", 1, "bounce", "550 5.1.1 no such mailbox")},
			failed("the e-mail address does not work: 550 5.1.1 no such mailbox")},
		{"bounced without a word", []events.Report{recordertest.Said(1, "bounce", 1)}, failed("the e-mail address does not work")},
		{"blocked", []events.Report{recordertest.Said(1, "bounce", 1, "blocked", "550 refused by policy")},
			failed("the receiving server turned the e-mail away: 550 refused by policy")},
		{"delivered, then bounced", []events.Report{recordertest.Said(1, "delivered", 1), recordertest.Said(1, "bounce", 9, "bounce", "full")},
			failed("the e-mail address does not work: full")},
		{"bounced, then an earlier report of delivery", []events.Report{recordertest.Said(1, "bounce", 9, "bounce", "full"), recordertest.Said(1, "delivered", 1)},
			failed("the e-mail address does not work: full")},
		{"dropped", []events.Report{recordertest.Said(1, "dropped", 1, "", "Spam Content")}, failed("SendGrid did not send it: Spam Content")},
		{"dropped, bounced before", []events.Report{recordertest.Said(1, "dropped", 1, "", "Bounced Address")},
			failed("SendGrid did not send it: e-mail to this address came back before")},
		{"dropped, unsubscribed", []events.Report{recordertest.Said(1, "dropped", 1, "", "Unsubscribed Address")},
			failed("SendGrid did not send it: the recipient unsubscribed")},
		{"dropped, reported as spam", []events.Report{recordertest.Said(1, "dropped", 1, "", "Spam Reporting Address")},
			failed("SendGrid did not send it: the recipient reported an earlier e-mail as spam")},
		{"dropped, no address", []events.Report{recordertest.Said(1, "dropped", 1, "", "Invalid")},
			failed("SendGrid did not send it: the e-mail address is not valid")},
		{"reported as spam", []events.Report{recordertest.Said(1, "delivered", 1), recordertest.Said(1, "spamreport", 9)}, failed("the recipient reported the e-mail as spam")},
	} {
		t.Run(c.name, func(t *testing.T) {
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(t.Context()) }()
			story := []events.Body{recordertest.SentTo(m, events.HoldNone), recordertest.Chunk(m, 0, 1, 2), recordertest.OutcomeOf(m, 0, 2, events.AlertAccepted)}
			for _, r := range c.reports {
				story = append(story, recordertest.ReportedBy(m, 1, r), recordertest.ReportedBy(m, 1, r, recordertest.Said(2, "delivered", 3)))
			}
			project(t, tx, recordertest.Facts(t, story...))
			if diff := cmp.Diff(map[int32]alert{1: c.want, 2: took}, alertsOf(t, tx, m)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			want := recordertest.MessageState{Status: "sending", Delivered: 2, Accepted: 2}
			if c.want.State == "failed" {
				want.Accepted, want.Failed = 1, 1
			}
			if diff := cmp.Diff(want, recordertest.StateOf(t, tx, m)); diff != "" {
				t.Errorf("the message (-want +got):\n%s", diff)
			}
		})
	}
}

// A set of reports gives the same tables in any order, with any repetition and batching,
// before, between and after the outcomes.
func TestReportsInAnyOrder(t *testing.T) {
	t.Parallel()
	m := uuid.MustParse("0197aaaa-0000-7000-8000-000000000001")
	conn := recordertest.Connect(t, storetest.Pool(t, store.RoleAdmin))
	exception := func(no int32, state events.AlertState) events.AlertException {
		return events.AlertException{PortalUserID: fmt.Sprintf("pu-%d", no), PortalUserNo: no, State: state, Reason: "said the outcome"}
	}
	mixed := recordertest.OutcomeOf(m, 0, 6, events.AlertAccepted, exception(4, events.AlertUnknown), exception(5, events.AlertFailed), exception(6, events.AlertSkipped))
	endings := map[string][]events.Body{
		"accepted":              {recordertest.OutcomeOf(m, 0, 6, events.AlertAccepted)},
		"of all kinds":          {mixed},
		"unknown":               {recordertest.OutcomeOf(m, 0, 6, events.AlertUnknown, exception(6, events.AlertSkipped))},
		"unknown, then learned": {recordertest.OutcomeOf(m, 0, 6, events.AlertUnknown), mixed},
		"yet to come":           nil,
	}
	rapid.Check(t, func(rt *rapid.T) {
		outcomes := endings[rapid.SampledFrom([]string{"accepted", "of all kinds", "unknown", "unknown, then learned", "yet to come"}).Draw(rt, "outcome")]
		set := rapid.SliceOfNDistinct(rapid.Custom(func(rt *rapid.T) events.Report {
			kind := rapid.SampledFrom([]string{"processed", "delivered", "deferred", "bounce", "dropped", "spamreport"}).Draw(rt, "type")
			r := recordertest.Said(rapid.Int32Range(1, 6).Draw(rt, "portal user"), kind, rapid.IntRange(0, 3).Draw(rt, "second"), rapid.SampledFrom([]string{"", "bounce", "blocked"}).Draw(rt, "bounce"))
			if r.AddressIsDead() {
				r.Dead = []events.DeadAddress{{PortalUserID: r.PortalUserID, PortalUserNo: r.PortalUserNo, Version: rapid.IntRange(0, 1).Draw(rt, "version")}}
			}
			return r
		}), 1, 12, func(r events.Report) string { return r.ID }).Draw(rt, "reports")

		tell := func(order []events.Report, sizes []int, places []int, runs []int) map[string]string {
			var story []events.Body
			for len(order) > 0 {
				n := 1
				if len(sizes) > 0 {
					n, sizes = min(sizes[0], len(order)), sizes[1:]
				}
				story, order = append(story, recordertest.ReportedBy(m, 1, order[:n]...)), order[n:]
			}
			at := 0
			for i, o := range outcomes {
				if i < len(places) {
					at = max(at, min(places[i], len(story)))
				}
				story = append(story[:at:at], append([]events.Body{o}, story[at:]...)...)
				at++
			}
			if _, err := conn.Exec(t.Context(), `TRUNCATE events, messages, message_bcc, chunks, inbox, alert_exceptions, reports, dead_addresses, hashes, chunk_events;
				UPDATE position SET seq = 0`); err != nil {
				t.Fatal(err)
			}
			evs := recordertest.Facts(t, append([]events.Body{recordertest.SentTo(m, events.HoldNone), recordertest.Chunk(m, 0, 1, 2, 3, 4, 5, 6)}, story...)...)
			for i := range evs {
				evs[i].Time = recordertest.Noon // so that the time does not depend on the order
			}
			project(t, conn, evs, runs...)
			all := recordertest.Digests(t, conn)
			for _, other := range []string{"events", "position", "hashes", "chunk_events"} {
				delete(all, other)
			}
			return all
		}
		// The reference: each once, sorted as drawn, one by one after the outcomes.
		want := tell(set, nil, nil, nil)
		order := rapid.Permutation(append(append([]events.Report{}, set...), rapid.SliceOf(rapid.SampledFrom(set)).Draw(rt, "repeats")...)).Draw(rt, "order")
		got := tell(order, rapid.SliceOf(rapid.IntRange(1, 4)).Draw(rt, "sizes"),
			rapid.SliceOfN(rapid.IntRange(0, len(order)), len(outcomes), len(outcomes)).Draw(rt, "places"),
			rapid.SliceOf(rapid.IntRange(1, 8)).Draw(rt, "runs"))
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Errorf("(-once, in order +in any):\n%s", diff)
		}
	})
}

// A dead address is dead since the first report about it. The next version of the address in
// the directory is another address.
func TestDeadAddresses(t *testing.T) {
	t.Parallel()
	conn := recordertest.Connect(t, storetest.Pool(t, store.RoleRecorder))
	m := uuid.New()
	dead := func(no int32, version, seconds int) events.Report {
		r := recordertest.Said(no, "bounce", seconds, "bounce", fmt.Sprintf("said at %d", seconds))
		r.Dead = []events.DeadAddress{{PortalUserID: "pu-1", PortalUserNo: 1, Version: version}}
		return r
	}
	project(t, conn, recordertest.Facts(t, recordertest.SentTo(m, events.HoldNone), recordertest.Chunk(m, 0, 1, 2), recordertest.ReportedBy(m, 1, dead(1, 0, 7)), recordertest.ReportedBy(m, 1, dead(1, 0, 5)),
		recordertest.ReportedBy(m, 1, dead(2, 0, 9), dead(1, 1, 30)), recordertest.ReportedBy(m, 1, dead(1, 0, 2)), recordertest.ReportedBy(m, 1, dead(2, 1, 40))))
	var version int
	var reason string
	if err := conn.QueryRow(t.Context(), `SELECT address_version, reason FROM dead_addresses WHERE portal_user_no = 1`).Scan(&version, &reason); err != nil {
		t.Fatal(err)
	}
	if version != 1 || reason != "said at 30" {
		t.Errorf("version %d is dead because of %q, want 1 because of the report at 30", version, reason)
	}
}
