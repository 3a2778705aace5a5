package events_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/events"
)

// Of each type of event it is said who did what and to whom, by name or by id: nothing is
// done by "somebody". Nothing else that anybody typed is in it.
func TestSummaries(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	id := uuid.MustParse("11111111-2222-4333-8444-555555555555")
	const ada, pat, worker = "staff:s1", "portal_user:pu-1", "process:notify-worker"
	names := func(id string) string { return map[string]string{"s1": "Ada Admin", "s2": "Noel Novice"}[id] }
	failed := []events.AlertException{{PortalUserID: "pu-1", PortalUserNo: 1, State: events.AlertFailed, Reason: "Xylophobia"}}
	skipped := []events.AlertException{{PortalUserID: "pu-1", PortalUserNo: 1, State: events.AlertSkipped, Reason: "Xylophobia"}}
	told := map[events.Type]bool{}
	for _, c := range []struct {
		actor, want string
		body        events.Body
	}{
		{ada, "Ada Admin sent a message to 1 portal user", events.MessageSent{Recipients: events.Selection{PortalUserIDs: []string{"x"}}}},
		{ada, "Ada Admin sent a message to 2 portal users and 1 group, with 1 document, held for undo", events.MessageSent{Recipients: events.Selection{PortalUserIDs: []string{"x", "y"}, Groups: []string{"g"}}, Attachments: make([]events.AttachmentFact, 1), Hold: events.HoldUndo}},
		{"staff:s9", "Staff member s9 sent a message to 1 group, scheduled for 2026-05-04 03:02:01 UTC", events.MessageSent{Recipients: events.Selection{Groups: []string{"g"}}, Hold: events.HoldScheduled, ReleaseAt: at}},
		{"process:recorder", "The process recorder released the message, which was due", events.MessageReleased{MessageID: id}},
		{ada, "Ada Admin cancelled the message before it went out", events.MessageCancelled{MessageID: id}},
		{"process:fanout-worker", "The process fanout-worker froze the audience: 1,000,000 portal users in 1,000 chunks", events.AudienceResolved{Count: 1_000_000, Chunks: 1000}},
		{"process:fanout-worker", "The process fanout-worker recorded 2 deliveries", events.DeliveriesCreated{MessageID: id, Recipients: []events.Recipient{{PortalUserID: "a"}, {PortalUserID: "b", PortalUserNo: 1}}}},
		{"process:fanout-worker", "The process fanout-worker recorded every delivery: 12,345 in 13 chunks", events.FanoutCompleted{Deliveries: 12345, Chunks: 13}},
		{worker, "The process notify-worker recorded alerts: 999 accepted, 1 failed (chunk 3 of 12), attempt 1", events.AlertOutcome{Chunk: 2, Chunks: 12, Attempt: 1, Recipients: 1000, State: events.AlertAccepted, Exceptions: failed}},
		{worker, "The process notify-worker recorded alerts: 1 failed (chunk 3 of 12), attempt 2", events.AlertOutcome{Chunk: 2, Chunks: 12, Attempt: 2, Recipients: 1, State: events.AlertFailed}},
		{worker, "The process notify-worker recorded alerts: 1 unknown (chunk 3 of 12), attempt 1", events.AlertOutcome{Chunk: 2, Chunks: 12, Attempt: 1, Recipients: 1, State: events.AlertUnknown}},
		{worker, "The process notify-worker recorded alerts: 1 skipped (chunk 3 of 12)", events.AlertOutcome{Chunk: 2, Chunks: 12, Attempt: 1, Recipients: 1, State: events.AlertSkipped, Exceptions: skipped}},
		{"process:sendgrid", "SendGrid reported on alerts of the message: 0 reports", events.AlertsReported{MessageID: id}},
		{"process:sendgrid", "SendGrid reported that the e-mail address of 2 portal users does not work", events.AddressReported{Dead: []events.DeadAddress{{PortalUserID: "p1"}, {PortalUserID: "p2"}}}},
		{pat, "Portal user pu-1 opened the message", events.DeliveryOpened{MessageID: id}},
		{pat, "Portal user pu-1 downloaded a document of the message", events.AttachmentDownloaded{MessageID: id}},
		{ada, "Ada Admin recalled the message after 3 portal users had opened it", events.MessageRecalled{Reason: "Xylophobia", Opened: 3}},
		{ada, "Ada Admin planned the replay " + id.String() + " of 7 alerts", events.ReplayPlanned{ReplayID: id, Count: 7}},
		{ada, "Ada Admin started the replay " + id.String(), events.ReplayStarted{ReplayID: id}},
		{ada, "Ada Admin paused the replay " + id.String(), events.ReplayPaused{ReplayID: id}},
		{ada, "Ada Admin resumed the replay " + id.String(), events.ReplayResumed{ReplayID: id}},
		{ada, "Ada Admin cancelled the replay " + id.String(), events.ReplayCancelled{ReplayID: id}},
		{worker, "The process notify-worker completed the replay " + id.String() + ": 1 accepted, 2 failed, 0 skipped, 0 unknown", events.ReplayCompleted{ReplayID: id, Accepted: 1, Failed: 2}},
		{ada, "Ada Admin signed in", events.SignIn{Account: "staff", ID: "s1"}},
		{pat, "Portal user pu-1 signed in", events.SignIn{Account: "portal_user", ID: "pu-1"}},
		{"process:api", "The process api refused a sign-in as Noel Novice", events.SignIn{Account: "staff", ID: "s2", Failed: true}},
		{"process:api", "The process api refused a sign-in as portal user pu-1", events.SignIn{Account: "portal_user", ID: "pu-1", Failed: true}},
		{"process:api", "The process api refused a sign-in as an unknown staff member", events.SignIn{Account: "staff", Failed: true}},
		{"process:api", "The process api refused a sign-in as an unknown portal user", events.SignIn{Account: "portal_user", Failed: true}},
		{ada, "Ada Admin created the staff account of Noel Novice", events.StaffCreated{StaffID: "s2", Name: "Noel Novice"}},
		{"operator:root", "Operator root disabled the staff account of Noel Novice", events.StaffSwitched{StaffID: "s2", Disabled: true}},
		{ada, "Ada Admin enabled the staff account of staff member s9", events.StaffSwitched{StaffID: "s9"}},
		{ada, "Ada Admin set up a second factor for Ada Admin", events.SecondFactor{What: events.FactorAdded, StaffID: "s1"}},
		{ada, "Ada Admin removed the second factor of Ada Admin", events.SecondFactor{What: events.FactorRemoved, StaffID: "s1"}},
		{ada, "Ada Admin reset the second factor of Noel Novice", events.SecondFactor{What: events.FactorReset, StaffID: "s2"}},
		{ada, "Ada Admin gave Noel Novice the permission read_record", events.PermissionChanged{StaffID: "s2", Granted: true, Permission: "read_record"}},
		{ada, "Ada Admin took the permission read_record from Noel Novice", events.PermissionChanged{StaffID: "s2", Permission: "read_record"}},
		{ada, "Ada Admin changed the label patient", events.LabelChanged{Label: "patient", One: "Xylophobia"}},
		{ada, "Ada Admin imported the directory: patients 1 new and 2 changed, portal users 0 new and 0 changed, links 0 new and 0 changed", events.DirectoryImported{Patients: events.ImportTally{New: 1, Changed: 2}}},
		{ada, "Ada Admin read a list of 17 events of the record", events.RecordRead{What: events.ReadList, Count: 17}},
		{ada, "Ada Admin read event 7 of the record", events.RecordRead{What: events.ReadEvent, Seq: 7}},
		{ada, "Ada Admin followed the record as it grows", events.RecordRead{What: events.ReadTail}},
		{ada, "Ada Admin began an export of the record", events.RecordRead{What: events.ReadExport}},
		{ada, "Ada Admin exported 1 event of the record as csv", events.RecordExported{Events: 1, Format: "csv"}},
		{ada, "Ada Admin issued a receipt for the delivery of the message to portal user pu-1", events.ReceiptIssued{MessageID: id, PortalUserID: "pu-1"}},
		{ada, "Ada Admin retried event 7, which notify-worker had parked", events.ParkedSettled{Retried: true, Seq: 7, Consumer: "notify-worker"}},
		{ada, "Ada Admin discarded event 7, which notify-worker had parked", events.ParkedSettled{Seq: 7, Consumer: "notify-worker", Reason: "Xylophobia"}},
		{ada, "Ada Admin paused all alerts", events.AlertingPaused{Reason: "Xylophobia"}},
		{ada, "Ada Admin paused the alerts of the message", events.AlertingPaused{MessageID: &id}},
		{worker, "The process notify-worker paused the alerts of the message, because too many failed", events.AlertingPaused{MessageID: &id, Automatic: true}},
		{ada, "Ada Admin resumed all alerts", events.AlertingResumed{}},
		{ada, "Ada Admin asked for the content of the message to be erased", events.ErasureRequested{MessageID: id, Reason: "Xylophobia"}},
		{ada, "Ada Admin withdrew the request to erase the content of the message", events.ErasureWithdrawn{MessageID: id}},
		{ada, "Ada Admin agreed to the erasure of the content of the message", events.ContentErased{MessageID: id}},
		{ada, "Ada Admin agreed to the erasure of the content of the message, before the retention had passed", events.ContentErased{MessageID: id, Early: true}},
		{ada, "Ada Admin set the retention of content to 7 years; before, it was 6", events.RetentionChanged{Years: 7, Before: 6}},
	} {
		e, err := events.New("/api", c.actor, at, c.body)
		if err != nil {
			t.Fatal(err)
		}
		told[e.Type] = true
		got := events.Summary(e, names)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("(-want +said):\n%s", diff)
		}
		for _, vague := range []string{"somebody", "nobody", "whoever", "Xylophobia", "unknown actor"} {
			if strings.Contains(got, vague) {
				t.Errorf("of %s it says %q", e.Type, got)
			}
		}
	}
	for name := range typesOf(t) {
		if !told[events.Type(name)] {
			t.Errorf("the table has no %s", name)
		}
	}
	if got := events.ChunkSummary("process:fanout-worker", nil, 1000, &events.ChunkRef{Index: 2, Of: 12}); got != "The process fanout-worker recorded 1,000 deliveries (chunk 3 of 12)" {
		t.Errorf("of a chunk it says %q", got)
	}
	// What a newer binary wrote, and what can't be read, is named by its type.
	if got := events.Summary(events.Event{Type: "message.sent", Version: 1, Data: []byte("{")}, nil); got != "message sent" {
		t.Errorf("of a broken one it says %q", got)
	}
	for name := range typesOf(t) {
		if got := events.Summary(events.Event{Type: events.Type(name)}, nil); strings.Contains(got, "_") || got == "" {
			t.Errorf("of %s it says %q", name, got)
		}
	}
}
