package events_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/events/eventstest"
	"postern/internal/text/language"
)

// The summary of each type of event names the actor and the object by name or by id, and
// contains no other text that a person typed.
func TestSummaries(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	id := uuid.MustParse("11111111-2222-4333-8444-555555555555")
	const ada, worker = "staff:s1", "process:notify-worker"
	failed := []events.AlertException{{PortalUserID: "pu-1", PortalUserNo: 1, State: events.AlertFailed, Reason: "Xylophobia"}}
	skipped := []events.AlertException{{PortalUserID: "pu-1", PortalUserNo: 1, State: events.AlertSkipped, Reason: "Xylophobia"}}
	cases := []struct {
		actor, want string
		body        events.Body
	}{
		{ada, "Ada Admin sent a message to 1 portal user", events.MessageSent{Recipients: events.Selection{PortalUserIDs: []string{"x"}}}},
		{ada, "Ada Admin sent a message to 2 portal users and 1 group, with 1 document, held for undo", events.MessageSent{Recipients: events.Selection{PortalUserIDs: []string{"x", "y"}, Groups: []string{"g"}}, Attachments: make([]events.AttachmentFact, 1), Hold: events.HoldUndo}},
		{"staff:s9", "Staff member s9 sent a message to 1 group, scheduled for 2026-05-04 03:02:01 UTC", events.MessageSent{Recipients: events.Selection{Groups: []string{"g"}}, Hold: events.HoldScheduled, ReleaseAt: at}},
		{"process:fanout-worker", "The process fanout-worker froze the audience: 1,000,000 portal users in 1,000 chunks", events.AudienceResolved{Count: 1_000_000, Chunks: 1000}},
		{"process:fanout-worker", "The process fanout-worker recorded 2 deliveries", events.DeliveriesCreated{MessageID: id, Recipients: []events.Recipient{{PortalUserID: "a"}, {PortalUserID: "b", PortalUserNo: 1}}}},
		{"process:fanout-worker", "The process fanout-worker recorded every delivery: 12,345 in 13 chunks", events.FanoutCompleted{Deliveries: 12345, Chunks: 13}},
		{worker, "The process notify-worker recorded alerts: 999 accepted, 1 failed (chunk 3 of 12), attempt 1", events.AlertOutcome{Chunk: 2, Chunks: 12, Attempt: 1, Recipients: 1000, State: events.AlertAccepted, Exceptions: failed}},
		{worker, "The process notify-worker recorded alerts: 1 failed (chunk 3 of 12), attempt 2", events.AlertOutcome{Chunk: 2, Chunks: 12, Attempt: 2, Recipients: 1, State: events.AlertFailed}},
		{worker, "The process notify-worker recorded alerts: 1 unknown (chunk 3 of 12), attempt 1", events.AlertOutcome{Chunk: 2, Chunks: 12, Attempt: 1, Recipients: 1, State: events.AlertUnknown}},
		{worker, "The process notify-worker recorded alerts: 1 skipped (chunk 3 of 12)", events.AlertOutcome{Chunk: 2, Chunks: 12, Attempt: 1, Recipients: 1, State: events.AlertSkipped, Exceptions: skipped}},
		{"process:sendgrid", "SendGrid reported that the e-mail address of 2 portal users does not work", events.AddressReported{Dead: []events.DeadAddress{{PortalUserID: "p1"}, {PortalUserID: "p2"}}}},
		{ada, "Ada Admin recalled the message after 3 portal users had opened it", events.MessageRecalled{Reason: "Xylophobia", Opened: 3}},
		{ada, "Ada Admin planned the replay " + id.String() + " of 7 alerts", events.ReplayPlanned{ReplayID: id, Count: 7}},
		{"process:api", "The process api refused a sign-in as Noel Novice", events.SignIn{Account: "staff", ID: "s2", Failed: true}},
		{"process:api", "The process api refused a sign-in as portal user pu-1", events.SignIn{Account: "portal_user", ID: "pu-1", Failed: true}},
		{"process:api", "The process api refused a sign-in as an unknown staff member", events.SignIn{Account: "staff", Failed: true}},
		{"process:api", "The process api refused a sign-in as an unknown portal user", events.SignIn{Account: "portal_user", Failed: true}},
		{"operator:root", "Operator root disabled the staff account of Noel Novice", events.StaffEnabledChanged{StaffID: "s2", Disabled: true}},
		{ada, "Ada Admin enabled the staff account of staff member s9", events.StaffEnabledChanged{StaffID: "s9"}},
		{ada, "Ada Admin changed the name of Noel Novice", events.StaffChanged{StaffID: "s2", Name: "Xylophobia", NameChanged: true}},
		{ada, "Ada Admin changed the e-mail address of Noel Novice", events.StaffChanged{StaffID: "s2", AddressChanged: true}},
		{ada, "Ada Admin changed the password of Ada Admin", events.PasswordSet{Account: "staff", ID: "s1", How: events.ByCurrentPassword}},
		{"operator:root", "Operator root set the password of Noel Novice at the command line", events.PasswordSet{Account: "staff", ID: "s2", How: events.ByCommandLine}},
		{"process:api", "The process api sent portal user pu-1 a link to set a new password", events.LinkIssued{Account: "portal_user", ID: "pu-1", Purpose: events.LinkReset, By: events.LinkByEmail}},
		{ada, "Ada Admin changed the label patient", events.LabelChanged{Label: "patient", One: "Xylophobia"}},
		{ada, "Ada Admin read event 7 of the record", events.RecordRead{What: events.ReadEvent, Seq: 7}},
		{ada, "Ada Admin followed new events of the record", events.RecordRead{What: events.ReadTail}},
		{ada, "Ada Admin began an export of the record", events.RecordRead{What: events.ReadExport}},
		{ada, "Ada Admin retried event 7, which notify-worker had parked", events.ParkedDecision{Retried: true, Seq: 7, Consumer: "notify-worker"}},
		{ada, "Ada Admin discarded event 7, which notify-worker had parked", events.ParkedDecision{Seq: 7, Consumer: "notify-worker", Reason: "Xylophobia"}},
		{ada, "Ada Admin paused all alerts", events.AlertingPaused{Reason: "Xylophobia"}},
		{ada, "Ada Admin paused the alerts of the message", events.AlertingPaused{MessageID: &id}},
		{worker, "The process notify-worker paused the alerts of the message, because too many failed", events.AlertingPaused{MessageID: &id, Automatic: true}},
		{ada, "Ada Admin resumed all alerts", events.AlertingResumed{}},
		{ada, "Ada Admin approved the erasure of the content of the message", events.ContentErased{MessageID: id}},
	}
	for _, x := range eventstest.Examples() {
		cases = append(cases, struct {
			actor, want string
			body        events.Body
		}{x.Actor, x.Summary, x.Body})
	}
	for _, c := range cases {
		e, err := events.New("/api", c.actor, at, c.body)
		if err != nil {
			t.Fatal(err)
		}
		got := events.Summary(e, eventstest.Names)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, forbidden := range []string{"somebody", "nobody", "whoever", "Xylophobia", "unknown actor"} {
			if strings.Contains(got, forbidden) {
				t.Errorf("the summary of %s is %q", e.Type, got)
			}
		}
	}
	if got := events.ChunkSummary(language.English, "process:fanout-worker", nil, 1000, &events.ChunkRef{Index: 2, Of: 12}); got != "The process fanout-worker recorded 1,000 deliveries (chunk 3 of 12)" {
		t.Errorf("the summary of a chunk is %q", got)
	}
	// An event of a newer binary, or one that can't be read, is described by its type.
	if got := events.Summary(events.Event{Type: "message.sent", Version: 1, Data: []byte("{")}, nil); got != "message sent" {
		t.Errorf("the summary of a malformed event is %q", got)
	}
	for _, d := range events.Registry() {
		if got := events.Summary(events.Event{Type: d.Type}, nil); strings.Contains(got, "_") || got == "" {
			t.Errorf("the summary of %s is %q", d.Type, got)
		}
	}
}

// A summary in another language is a sentence of that language.
func TestSummaryInSpanish(t *testing.T) {
	t.Parallel()
	e, err := events.New("/api", "staff:s1", time.Now(), events.MessageSent{Recipients: events.Selection{PortalUserIDs: []string{"x", "y"}, Groups: []string{"g"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := events.SummaryIn(language.Spanish, e, eventstest.Names), "Ada Admin envió un mensaje a 2 usuarios del portal y 1 grupo"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
