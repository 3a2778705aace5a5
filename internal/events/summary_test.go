package events_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/events"
)

// What is said of each kind of event, in plain words, without anything that was typed.
func TestSummaries(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	id := uuid.New()
	failed := []events.AlertException{{PortalUserID: "pu-1", PortalUserNo: 1, State: events.AlertFailed, Reason: "Xylophobia"}}
	for want, body := range map[string]events.Body{
		"a message was sent to 1 portal user":                                              events.MessageSent{Recipients: events.Selection{PortalUserIDs: []string{"x"}}},
		"a message was sent to 2 portal users and 1 group, with 1 document, held for undo": events.MessageSent{Recipients: events.Selection{PortalUserIDs: []string{"x", "y"}, Groups: []string{"g"}}, Attachments: make([]events.AttachmentFact, 1), Hold: events.HoldUndo},
		"a message was sent to 1 group, scheduled for 2026-05-04 03:02:01 UTC":             events.MessageSent{Recipients: events.Selection{Groups: []string{"g"}}, Hold: events.HoldScheduled, ReleaseAt: at},
		"a held message came due and went out":                                             events.MessageReleased{MessageID: id},
		"a held message was called off":                                                    events.MessageCancelled{MessageID: id},
		"the audience was frozen: 1,000,000 portal users in 1,000 chunks":                  events.AudienceResolved{Count: 1_000_000, Chunks: 1000},
		"2 deliveries recorded":                                                            events.DeliveriesCreated{MessageID: id, Recipients: []events.Recipient{{PortalUserID: "a"}, {PortalUserID: "b", PortalUserNo: 1}}},
		"every delivery is recorded: 12,345 in 13 chunks":                                  events.FanoutCompleted{Deliveries: 12345, Chunks: 13},
		"alerts: 999 accepted, 1 failed (chunk 3 of 12), attempt 1":                        events.AlertOutcome{Chunk: 2, Chunks: 12, Attempt: 1, Recipients: 1000, State: events.AlertAccepted, Exceptions: failed},
		"a portal user opened the message":                                                 events.DeliveryOpened{MessageID: id},
		"a portal user downloaded a document":                                              events.AttachmentDownloaded{MessageID: id},
		"the message was taken back after 3 had opened it":                                 events.MessageRecalled{Reason: "Xylophobia", Opened: 3},
		"staff signed in":                           events.SignIn{Account: "staff"},
		"signing in as a portal user failed":        events.SignIn{Account: "portal_user", Failed: true},
		"somebody was made staff":                   events.StaffCreated{Name: "Xylophobia"},
		"the permission read_record was given":      events.PermissionChanged{Granted: true, Permission: "read_record"},
		"the permission read_record was taken away": events.PermissionChanged{Permission: "read_record"},
		"the label patient was changed":             events.LabelChanged{Label: "patient", One: "Xylophobia"},
		"the directory was imported: patients 1 new and 2 changed, portal users 0 new and 0 changed, links 0 new and 0 changed": events.DirectoryImported{Patients: events.ImportTally{New: 1, Changed: 2}},
		"the record was read: a list of 17 events": events.RecordRead{What: events.ReadList, Count: 17},
		"event 7 of the record was read":           events.RecordRead{What: events.ReadEvent, Seq: 7},
		"the record was followed as it grows":      events.RecordRead{What: events.ReadTail},
		"an export of the record was begun":        events.RecordRead{What: events.ReadExport},
		"the record was exported: 1 event as csv":  events.RecordExported{Events: 1, Format: "csv"},
	} {
		e, err := events.New("/api", "staff:s1", at, body)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, events.Summary(e)); diff != "" {
			t.Errorf("(-want +said):\n%s", diff)
		}
	}
	if got := events.ChunkSummary(1000, &events.ChunkRef{Index: 2, Of: 12}); got != "1,000 deliveries recorded (chunk 3 of 12)" {
		t.Errorf("of a chunk it says %q", got)
	}
	// What a newer binary wrote, and what can't be read, is named by its type.
	if got := events.Summary(events.Event{Type: "message.sent", Version: 1, Data: []byte("{")}); got != "message sent" {
		t.Errorf("of a broken one it says %q", got)
	}
	for name := range typesOf(t) {
		if got := events.Summary(events.Event{Type: events.Type(name)}); strings.Contains(got, "_") || got == "" {
			t.Errorf("of %s it says %q", name, got)
		}
	}
}
