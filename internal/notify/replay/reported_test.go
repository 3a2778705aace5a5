package replay_test

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/notify/replay"
	"postern/internal/notify/reports"
	"postern/internal/notify/sendgridfake"
	"postern/internal/process"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// blocked is a post of SendGrid's, from the field: of three alerts that it had
// accepted, one is blocked, one dropped and one delivered.
//
//go:embed testdata/replay-after-block.json
var blocked string

// post gives SendGrid's post to the webhook and waits until it can be read.
func (c *clinic) post(body string) {
	c.Helper()
	key, err := sendgridfake.GenerateKey()
	if err != nil {
		c.Fatal(err)
	}
	hook := sendgridfake.Webhook{PrivateKey: key, Now: c.now}
	read, err := process.ReadReports(hook.PublicKey(), c.now)
	if err != nil {
		c.Fatal(err)
	}
	header, err := hook.Sign([]byte(body))
	if err != nil {
		c.Fatal(err)
	}
	r := reports.New(reports.Config{Pool: storetest.Open(c, c.url, store.RoleAPI), Read: read, Facts: facts.Publisher{Source: "/api", Send: c.log.Publish, Clock: c.now}})
	if err := r.Post(c.Context(), header, []byte(body)); err != nil {
		c.Fatal(err)
	}
	state, err := c.log.State(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	if err := c.watcher.Wait(c.Context(), state.Last); err != nil {
		c.Fatal(err)
	}
}

// The plan counts and the replay sends alerts that SendGrid accepted and then reported as
// blocked or dropped, but not those that it delivered.
func TestWhatWasBlockedAfterItWasAcceptedIsRepeated(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.users(3)
	m := c.send(3)
	var request uuid.UUID
	if err := c.admin.QueryRow(t.Context(), `SELECT request_id FROM app.attempts`).Scan(&request); err != nil {
		t.Fatal(err)
	}
	c.post(strings.NewReplacer("<attempt_id of the alert>", request.String(), "<n of rb1>", "0", "<n of rb2>", "1", "<n of rb3>", "2").Replace(blocked))
	c.standsAs(m, map[string]string{"u0": "failed 1", "u1": "failed 1", "u2": "accepted 1"})
	plan := c.plan(replay.Filter{MessageID: &m, State: []events.AlertState{events.AlertFailed}})
	want := map[string]int{"the receiving server turned the e-mail away: 421 try later": 1, "SendGrid did not send it: Invalid SMTPAPI header": 1}
	if diff := cmp.Diff(want, plan.ByReason); diff != "" || plan.Count != 2 {
		t.Errorf("the plan counts %d (-want +got):\n%s", plan.Count, diff)
	}
	if done := c.finish(plan.ID, 0); done.Accepted != 2 || done.Done() != 2 || done.Skipped+done.LeftOut != 0 {
		t.Errorf("the replay is %+v", done)
	}
	c.standsAs(m, map[string]string{"u0": "accepted 2", "u1": "accepted 2", "u2": "accepted 1"})
	if diff := cmp.Diff(map[string]int{"u0": 2, "u1": 2, "u2": 1}, c.mailed()); diff != "" {
		t.Errorf("mailed (-want +got):\n%s", diff)
	}
	c.whole()
}

// reports puts a report about an attempt at the alert of u<no-1> on the record.
func (c *clinic) reports(m uuid.UUID, attempt int, reports ...events.Report) {
	c.Helper()
	c.says(events.AlertsReported{MessageID: m, Requests: []events.ReportedRequest{{RequestID: m, Attempt: attempt, Reports: reports}}})
}

func report(kind, bounce string, no int32) events.Report {
	return events.Report{ID: uuid.NewString(), Type: kind, Bounce: bounce, At: time.Now(), PortalUserID: fmt.Sprint("u", no-1),
		PortalUserNo: no, Position: int(no) - 1}
}

// An older version recorded the attempt of a replay as skipped, because SendGrid had accepted
// the previous attempt, although that one had bounced. A plan counts such an alert by its
// reported failure, and the replay sends it. An alert that did not bounce is not counted.
func TestWhatAnOlderReplaySkippedIsRepeated(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.users(3)
	m := c.send(3)
	blocked := report("bounce", "blocked", 1)
	blocked.Reason = "421 try later"
	c.reports(m, 1, blocked)
	older := uuid.New()
	skipped := events.AlertOutcome{MessageID: m, Chunks: 1, Attempt: 2, Recipients: 2, State: events.AlertSkipped, Reason: events.SkippedAccepted,
		Requests: []events.AlertRequest{}, ReplayID: &older, Part: 1}
	for no := int32(1); no <= 2; no++ {
		skipped.Exceptions = append(skipped.Exceptions, events.AlertException{PortalUserID: fmt.Sprint("u", no-1), PortalUserNo: no,
			State: events.AlertSkipped, Reason: events.SkippedAccepted})
	}
	c.says(skipped)
	// The second did not bounce: accepted is final.
	c.standsAs(m, map[string]string{"u0": "skipped 2", "u1": "accepted 2", "u2": "accepted 1"})
	const reason = "the receiving server turned the e-mail away: 421 try later"
	for _, f := range []replay.Filter{{State: []events.AlertState{events.AlertUnknown}}, {Reason: "another"}, {Attempt: 1}} {
		if plan := c.plan(f); plan.Count != 0 {
			t.Errorf("the plan of %+v counts %d", f, plan.Count)
		}
	}
	plan := c.plan(replay.Filter{MessageID: &m, Reason: reason})
	if diff := cmp.Diff(map[string]int{reason: 1}, plan.ByReason); diff != "" || plan.Count != 1 {
		t.Errorf("the plan counts %d (-want +got):\n%s", plan.Count, diff)
	}
	if done := c.finish(plan.ID, 0); done.Accepted != 1 || done.Done() != 1 {
		t.Errorf("the replay is %+v", done)
	}
	c.standsAs(m, map[string]string{"u0": "accepted 3", "u1": "accepted 2", "u2": "accepted 1"})
	if diff := cmp.Diff(map[string]int{"u0": 2, "u1": 1, "u2": 1}, c.mailed()); diff != "" {
		t.Errorf("mailed (-want +got):\n%s", diff)
	}
	if again := c.plan(replay.Filter{}); again.Count != 0 {
		t.Errorf("the next plan counts %d", again.Count)
	}
	c.whole()
}

// A recipient's state may change between a plan and its parts: a recipient who is not alerted
// again is named as left out, and the failure stands with its reason.
func TestRecipientsThatChangeAfterThePlanAreNamed(t *testing.T) {
	t.Parallel()
	for why, change := range map[string]string{
		"the account is inactive": `UPDATE app.portal_users SET active = false WHERE portal_user_no = 1`,
		"no e-mail address":       `UPDATE app.portal_users SET email = '', email_version = 1 WHERE portal_user_no = 1`,
		"the e-mail address does not work: SendGrid reported 550": `INSERT INTO record.dead_addresses (portal_user_no, address_version, since, reason, report_id)
			VALUES (1, 0, now(), '550', 'r1')`,
		"opted out of e-mails": `INSERT INTO record.alert_opt_outs VALUES (1, 'portal', now())`,
	} {
		t.Run(why, func(t *testing.T) {
			t.Parallel()
			c := newClinic(t)
			c.users(2)
			c.refuse("u0", "u1")
			m := c.send(2)
			c.refuse()
			plan := c.plan(replay.Filter{})
			if _, err := c.admin.Exec(t.Context(), change); err != nil {
				t.Fatal(err)
			}
			done := c.finish(plan.ID, 0)
			if done.Accepted != 1 || done.Skipped != 0 || done.LeftOut != 1 || !cmp.Equal(done.LeftOutBy, map[string]int{why: 1}) {
				t.Errorf("the replay is %+v", done)
			}
			c.standsAs(m, map[string]string{"u0": "failed 1", "u1": "accepted 2"})
			if plan := c.plan(replay.Filter{}); plan.Count != 0 || len(plan.Excluded) != 1 || !strings.HasPrefix(why, slices.Collect(maps.Keys(plan.Excluded))[0]) {
				t.Errorf("another plan is %+v", plan)
			}
			if _, err := c.admin.Exec(t.Context(), `DELETE FROM record.alert_opt_outs`); err != nil {
				t.Fatal(err)
			}
			if _, err := c.admin.Exec(t.Context(), `UPDATE app.portal_users SET active = true, email = 'u0@x.test', email_version = 2 WHERE portal_user_no = 1`); err != nil {
				t.Fatal(err)
			}
			if done := c.finish(c.plan(replay.Filter{Reason: full}).ID, 0); done.Count != 1 || done.Accepted != 1 {
				t.Errorf("once it is right again, the replay is %+v", done)
			}
			c.standsAs(m, map[string]string{"u0": "accepted 2", "u1": "accepted 2"})
		})
	}
}

// SendGrid's reports come in any order, repeatedly, about any attempt, before and after
// replays: each plan counts the alerts that are failed or unknown, its replay sends just
// those, and no failure ever becomes a skipped alert.
func TestReportsBetweenReplays(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	ids := c.users(5)
	m := c.send(5)
	kind := rapid.SampledFrom([]string{"processed", "delivered", "deferred", "bounce", "dropped", "spamreport"})
	some := rapid.SliceOfN(rapid.Int32Range(1, 5), 1, 6)
	attempts := 1
	var said []events.Report // of the latest attempt
	for round := range 8 {
		var reports []events.Report
		for i, no := range some.Example(round) {
			reports = append(reports, report(kind.Example(10*round+i), "blocked", no))
		}
		c.reports(m, attempts, append(reports, said...)...)
		if attempts > 1 {
			c.reports(m, attempts-1, report(kind.Example(round), "blocked", 1+int32(round%5))) // #nosec G115 -- few
		}
		said = reports
		failed, before := 0, c.mailed()
		for _, stands := range c.stands(m) {
			if strings.HasPrefix(stands, "failed") {
				failed++
			}
		}
		if round%3 == 2 {
			c.fake.Queue(sendgridfake.Fail(503)) // one try more
		}
		plan := c.plan(replay.Filter{MessageID: &m})
		if plan.Count != failed {
			t.Fatalf("round %d: the plan is of %d alerts, where %d failed: %+v", round, plan.Count, failed, plan)
		}
		done := c.finish(plan.ID, 0)
		sent := 0
		for _, id := range ids {
			sent += c.mailed()[id] - before[id]
		}
		if sent != plan.Count || done.Accepted != plan.Count || done.Skipped+done.LeftOut != 0 {
			t.Errorf("round %d: %d alerts were sent of a plan of %d: %+v", round, sent, plan.Count, done)
		}
		for id, stands := range c.stands(m) {
			if !strings.HasPrefix(stands, "accepted") {
				t.Errorf("round %d: the alert of %s is %s", round, id, stands)
			}
			var attempt int
			if _, err := fmt.Sscanf(stands, "accepted %d", &attempt); err == nil {
				attempts = max(attempts, attempt)
			}
		}
	}
	if attempts < 3 {
		t.Errorf("there were %d attempts: nothing was tried", attempts)
	}
	c.whole()
}
