// Package eventstest gives tests examples of every type of event.
package eventstest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/directory/block"
	"postern/internal/events"
	"postern/internal/proof/salted"
)

// An Example is a body with every optional field set, its actor, and its summary.
type Example struct {
	Actor   string
	Body    events.Body
	Summary string
}

const (
	ada     = "staff:s1"
	pat     = "portal_user:pu-1"
	worker  = "process:notify-worker"
	fanout  = "process:fanout-worker"
	webhook = "process:sendgrid"
)

var (
	someID  = uuid.MustParse("0197aaaa-0000-7000-8000-000000000001")
	someDay = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	digest  = "sha256:" + strings.Repeat("0a", 32)
	tally   = events.ImportTally{New: 3, Changed: 2, Unchanged: 1}
)

func outcome(state events.AlertState) events.AlertOutcome {
	return events.AlertOutcome{MessageID: someID, Chunk: 1, Chunks: 2, Attempt: 1, Recipients: 3, State: state, Reason: "a reason",
		Exceptions: []events.AlertException{{PortalUserID: "pu-1", PortalUserNo: 1, State: events.AlertSkipped, Reason: "no e-mail address"}},
		Requests:   []events.AlertRequest{{RequestID: someID, SendGridID: "abc", Recipients: 2}}, Nos: []int32{1, 2, 3}}
}

// replayed gives an outcome of a replay.
func replayed(state events.AlertState) events.AlertOutcome {
	o := outcome(state)
	o.Attempt, o.ReplayID, o.Part = 2, &someID, 7
	return o
}

// Names gives the names of the staff members in the examples.
func Names(id string) string {
	return map[string]string{"s1": "Ada Admin", "s2": "Noel Novice"}[id]
}

// Examples gives at least one example of each type. Every version of every schema has an
// example that satisfies it.
func Examples() []Example { return examples }

// Event builds the event of the example.
func (x Example) Event(t testing.TB) events.Event {
	t.Helper()
	e, err := events.New("/test", x.Actor, someDay, x.Body)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var examples = []Example{
	{ada, events.MessageSent{MessageID: someID, SenderID: "s1", SubjectDigest: digest, BodyDigest: digest,
		Attachments: []events.AttachmentFact{{AttachmentID: someID, MediaType: "application/pdf", Size: 4 << 20, SHA256: strings.Repeat("0a", 32)}},
		Recipients:  events.Selection{PortalUserIDs: []string{"pu-1"}, Groups: []string{"active_patients"}},
		StaffBcc:    []string{"s2"}, Hold: events.HoldUndo, ReleaseAt: someDay,
		Confirmed: &events.Confirmed{Count: 7, Digest: digest}}, "Ada Admin sent a message to 1 portal user and 1 group, with 1 document, held for undo"},
	{"process:recorder", events.MessageReleased{MessageID: someID}, "The process recorder released the message, which was due"},
	{ada, events.MessageCancelled{MessageID: someID, StaffID: "s1"}, "Ada Admin cancelled the message before it went out"},
	{ada, events.MessageRecalled{MessageID: someID, StaffID: "s1", Reason: "wrong document", Opened: 2}, "Ada Admin recalled the message after 2 portal users had opened it"},
	{fanout, events.AudienceResolved{MessageID: someID, Count: 3, Chunks: 1, ManifestDigest: digest,
		Included: map[string]int{"added": 3}, Excluded: map[string]int{"deceased": 1}}, "The process fanout-worker froze the audience: 3 portal users in 1 chunk"},
	{fanout, events.AudienceResolved{MessageID: someID, Count: 3, Chunks: 1, ManifestDigest: digest,
		Included: map[string]int{"active_patient": 3}, Excluded: map[string]int{"deceased": 1}, Directory: digest, Day: "2026-03-01"}, "The process fanout-worker froze the audience: 3 portal users in 1 chunk"},
	{fanout, events.DeliveriesCreated{MessageID: someID, Recipients: []events.Recipient{
		{PortalUserID: "pu-1", PortalUserNo: 1, Links: []events.Link{{PatientID: "pt-1", PatientNo: 1, Relationship: "self"}}}}}, "The process fanout-worker recorded 1 delivery"},
	{fanout, events.DeliveriesByBlock{MessageID: someID, Day: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Groups: []string{"active_patients"}, Selection: digest,
		Blocks: []events.CitedBlock{{No: 3, Members: members(0, 249)}, {No: 4, Members: members(7)}}}, "The process fanout-worker recorded 3 deliveries"},
	{fanout, events.FanoutCompleted{MessageID: someID, Deliveries: 3, Chunks: 1}, "The process fanout-worker recorded every delivery: 3 in 1 chunk"},
	{fanout, events.FanoutCompleted{MessageID: someID, Deliveries: 3, Chunks: 1, Notice: true}, "The process fanout-worker recorded every delivery: 3 in 1 chunk"},
	{worker, outcome(events.AlertAccepted), "The process notify-worker recorded alerts: 2 accepted, 1 skipped (chunk 2 of 2), attempt 1"},
	{worker, outcome(events.AlertFailed), "The process notify-worker recorded alerts: 2 failed, 1 skipped (chunk 2 of 2), attempt 1"},
	{worker, outcome(events.AlertSkipped), "The process notify-worker recorded alerts: 3 skipped (chunk 2 of 2)"},
	{worker, outcome(events.AlertUnknown), "The process notify-worker recorded alerts: 1 skipped, 2 unknown (chunk 2 of 2), attempt 1"},
	{webhook, events.AlertsReported{MessageID: someID, Requests: []events.ReportedRequest{{RequestID: someID, Chunk: 1, Attempt: 1, Reports: []events.Report{
		{ID: "abc", Type: "bounce", Bounce: "bounce", At: someDay, Status: "5.1.1", Reason: "no such mailbox", Position: 3, PortalUserID: "pu-1", PortalUserNo: 1,
			Dead: []events.DeadAddress{{PortalUserID: "pu-1", PortalUserNo: 1, Version: 2}}}}}}}, "SendGrid reported on alerts of the message: 1 report"},
	{pat, events.DeliveryOpened{MessageID: someID, PortalUserID: "pu-1", PortalUserNo: 1}, "Portal user pu-1 opened the message"},
	{pat, events.AttachmentDownloaded{MessageID: someID, PortalUserID: "pu-1", PortalUserNo: 1, AttachmentID: someID, Request: someID}, "Portal user pu-1 downloaded a document of the message"},
	{worker, replayed(events.AlertAccepted), "The process notify-worker recorded alerts: 2 accepted, 1 skipped (chunk 2 of 2), attempt 2"},
	{worker, replayed(events.AlertFailed), "The process notify-worker recorded alerts: 2 failed, 1 skipped (chunk 2 of 2), attempt 2"},
	{worker, replayed(events.AlertSkipped), "The process notify-worker recorded alerts: 3 skipped (chunk 2 of 2)"},
	{worker, replayed(events.AlertUnknown), "The process notify-worker recorded alerts: 1 skipped, 2 unknown (chunk 2 of 2), attempt 2"},
	{ada, events.ReplayPlanned{ReplayID: someID, Reason: "their provider was down", Count: 3, Digest: digest, ByReason: map[string]int{"mailbox full": 3},
		Excluded: map[string]int{"opened": 1}, Oldest: &someDay, Newest: &someDay, Filter: events.ReplayFilter{MessageID: &someID,
			State: []events.AlertState{events.AlertFailed}, Reason: "mailbox full", From: &someDay, To: &someDay, Attempt: 1, Domain: "example.org"}}, "Ada Admin planned the replay " + someID.String() + " of 3 alerts"},
	{ada, events.ReplayStarted{ReplayID: someID, Rate: 60}, "Ada Admin started the replay " + someID.String()},
	{ada, events.ReplayPaused{ReplayID: someID, Change: someID}, "Ada Admin paused the replay " + someID.String()},
	{ada, events.ReplayResumed{ReplayID: someID, Change: someID}, "Ada Admin resumed the replay " + someID.String()},
	{ada, events.ReplayCancelled{ReplayID: someID}, "Ada Admin cancelled the replay " + someID.String()},
	{worker, events.ReplayCompleted{ReplayID: someID, Accepted: 1, Failed: 1, Skipped: 1, Unknown: 1, LeftOut: 1}, "The process notify-worker completed the replay " + someID.String() + ": 1 accepted, 1 failed, 1 skipped, 1 unknown"},
	// As in version 1, without a method.
	{ada, events.SignIn{Attempt: someID, Account: "staff", ID: "s1", Reason: "x"}, "Ada Admin signed in"},
	{"process:api", events.SignIn{Failed: true, Attempt: someID, Account: "portal_user", ID: "pu-1", Reason: "wrong_password"}, "The process api refused a sign-in as portal user pu-1"},
	{ada, events.StaffCreated{StaffID: "s2", Name: "Noel Novice"}, "Ada Admin created the staff account of Noel Novice"},
	{ada, events.SignIn{Attempt: someID, Account: "staff", ID: "s1", Method: events.ByPasswordAndCode, Reason: "x"}, "Ada Admin signed in with a second factor"},
	{"process:api", events.SignIn{Failed: true, Attempt: someID, Account: "staff", ID: "s1", Method: events.ByOrganisation, Reason: "unknown_address"}, "The process api refused a sign-in as Ada Admin"},
	{"process:api", events.SignIn{Failed: true, Attempt: someID, Account: "staff", Method: events.ByPassword, Reason: "no_account", Source: "192.0.2.0/24"}, "The process api refused a sign-in as an unknown staff member from 192.0.2.0/24"},
	{"process:api", events.SignInsFailed{Tally: someID, Account: "portal_user", Source: "2001:db8::/48", Minute: someDay, Count: 240, ByReason: map[string]int{"wrong_password": 40, "no_account": 200}}, "The process api refused 240 more sign-ins of portal users from 2001:db8::/48 within a minute"},
	{"process:api", events.SignInsFailed{Tally: someID, Account: "staff", Minute: someDay, Count: 1, ByReason: map[string]int{"no_account": 1}}, "The process api refused 1 more sign-in of staff within a minute"},
	{ada, events.ActionsRefused{Tally: someID, Account: "staff", ID: "s1", Minute: someDay, Count: 12, Actions: []string{"manage_staff", "read_record"}}, "Ada Admin was refused 12 actions within a minute: manage_staff, read_record"},
	{ada, events.SecondFactor{What: events.FactorAdded, Change: someID, StaffID: "s1"}, "Ada Admin set up a second factor for Ada Admin"}, // as in version 1
	{ada, events.SecondFactor{What: events.FactorRemoved, Change: someID, StaffID: "s1"}, "Ada Admin removed the second factor of Ada Admin"},
	{ada, events.SecondFactor{What: events.FactorReset, Change: someID, StaffID: "s2"}, "Ada Admin reset the second factor of Noel Novice"},
	{pat, events.SecondFactor{What: events.FactorAdded, Change: someID, Account: "portal_user", ID: "pu-1", Kind: events.FactorPasskey}, "Portal user pu-1 set up a passkey for portal user pu-1"},
	{ada, events.SecondFactor{What: events.FactorAdded, Change: someID, Account: "staff", ID: "s1", Kind: events.FactorApp}, "Ada Admin set up an authenticator app for Ada Admin"},
	{ada, events.SecondFactor{What: events.FactorRemoved, Change: someID, Account: "staff", ID: "s1", Kind: events.FactorApp, Factor: &someID}, "Ada Admin removed the authenticator app of Ada Admin"},
	{ada, events.SecondFactor{What: events.FactorReset, Change: someID, Account: "portal_user", ID: "pu-1"}, "Ada Admin reset the second factor of portal user pu-1"},
	{ada, events.RecoveryCodesMade{Set: someID, Account: "staff", ID: "s1"}, "Ada Admin made recovery codes for Ada Admin"},
	{ada, events.SignIn{Attempt: someID, Account: "staff", ID: "s1", Method: events.ByPasskey, Reason: "x"}, "Ada Admin signed in with a passkey"},
	{pat, events.SignIn{Attempt: someID, Account: "portal_user", ID: "pu-1", Method: events.ByPasswordAndPasskey}, "Portal user pu-1 signed in with a passkey as second factor"},
	{"process:api", events.SignIn{Failed: true, Attempt: someID, Account: "staff", ID: "s1", Method: events.ByPasskey, Reason: "cloned_passkey", Source: "192.0.2.0/24"}, "The process api refused a sign-in as Ada Admin from 192.0.2.0/24"},
	{ada, events.StaffEnabledChanged{Disabled: true, Change: someID, StaffID: "s2"}, "Ada Admin disabled the staff account of Noel Novice"},
	{ada, events.StaffEnabledChanged{Change: someID, StaffID: "s2"}, "Ada Admin enabled the staff account of Noel Novice"},
	{ada, events.PermissionChanged{Granted: true, Change: someID, StaffID: "s2", Permission: "read_record"}, "Ada Admin gave Noel Novice the permission read_record"},
	{ada, events.PermissionChanged{Change: someID, StaffID: "s2", Permission: "read_record"}, "Ada Admin removed the permission read_record from Noel Novice"},
	{ada, events.PermissionChanged{Granted: true, Change: someID, StaffID: "s2", Permission: "read_record", Request: &someID, RequestedBy: "staff:s3"},
		"Ada Admin approved the request of Staff member s3 and gave Noel Novice the permission read_record"},
	{ada, events.GrantRequested{Request: someID, StaffID: "s2", Permission: "read_record", Because: events.BecauseAsked, ExpiresAt: someDay}, "Ada Admin requested the permission read_record for Noel Novice"},
	{ada, events.GrantRequested{Request: someID, StaffID: "s2", Permission: "read_record", Because: events.BecauseFactorReset, ExpiresAt: someDay},
		"Ada Admin requested the permission read_record for Noel Novice again, because their second factor was reset"},
	{ada, events.GrantWithdrawn{Request: someID, StaffID: "s2", Permission: "read_record"}, "Ada Admin withdrew or rejected the request of the permission read_record for Noel Novice"},
	{ada, events.EmergencyOpened{Opening: someID, MessageID: &someID, Reason: "their doctor is away", Until: someDay},
		"Ada Admin opened emergency access to the content of the message, until 2026-05-04 03:02:01 UTC"},
	{ada, events.EmergencyOpened{Opening: someID, PatientID: "pt-1", Reason: "their doctor is away", Until: someDay},
		"Ada Admin opened emergency access to the disclosures of patient pt-1, until 2026-05-04 03:02:01 UTC"},
	{ada, events.EmergencyRead{Reading: someID, Opening: someID, What: events.ReadDocument, MessageID: &someID, AttachmentID: &someID},
		"Ada Admin read a document of the message by emergency access"},
	{ada, events.EmergencyRead{Reading: someID, Opening: someID, What: events.ReadDisclosures, PatientID: "pt-1"}, "Ada Admin read the disclosures of patient pt-1 by emergency access"},
	{ada, events.EmergencyEnded{Opening: someID}, "Ada Admin ended emergency access before its time"},
	{ada, events.EmergencyReviewed{Opening: someID, ReviewedBy: ada, Note: "it was needed"}, "Ada Admin reviewed emergency access"},
	{ada, events.TokenCreated{Token: someID, StaffID: "s1", Name: "nightly report", Scope: events.ScopeListed, Permissions: []string{"read_record"}, ExpiresAt: someDay},
		"Ada Admin created an API token of Ada Admin for read_record, until 2026-05-04 03:02:01 UTC"},
	{ada, events.TokenCreated{Token: someID, StaffID: "s1", Name: "everything", Scope: events.ScopeOwner, Permissions: []string{}, ExpiresAt: someDay},
		"Ada Admin created an API token of Ada Admin for everything that they may do, until 2026-05-04 03:02:01 UTC"},
	{ada, events.TokenRevoked{Token: someID, StaffID: "s2", Why: events.RevokedByAdministrator}, "Ada Admin revoked an API token of Noel Novice"},
	{ada, events.TokenRevoked{Token: someID, StaffID: "s2", Why: events.RevokedWithAccount}, "Ada Admin revoked an API token of Noel Novice, whose account is disabled"},
	{ada, events.SessionsEnded{Change: someID, Account: "portal_user", ID: "pu-1"}, "Ada Admin ended all sessions of portal user pu-1"},
	{"operator:root", events.SessionsEnded{Change: someID, Account: "staff", ID: "s2"}, "Operator root ended all sessions of Noel Novice"},
	{ada, events.StaffChanged{Change: someID, StaffID: "s2", Name: "Noel Novice", NameChanged: true, AddressChanged: true}, "Ada Admin changed the name and e-mail address of Noel Novice"},
	{ada, events.LinkIssued{Link: someID, Account: "staff", ID: "s2", Purpose: events.LinkFirst, By: events.LinkByEmail, ExpiresAt: someDay}, "Ada Admin sent Noel Novice a link to set a first password"},
	{"operator:root", events.LinkIssued{Link: someID, Account: "portal_user", ID: "pu-1", Purpose: events.LinkReset, By: events.LinkByCommandLine, ExpiresAt: someDay}, "Operator root made a link with which portal user pu-1 can set a new password"},
	{ada, events.LinkIssued{Link: someID, Account: "portal_user", ID: "pu-1", Purpose: events.LinkFirst, By: events.LinkByLetter, ExpiresAt: someDay}, "Ada Admin made a letter with a code with which portal user pu-1 can set a first password"},
	{ada, events.AddressChanged{Change: someID, PortalUserID: "pu-1"}, "Ada Admin changed the e-mail address of portal user pu-1, who has an account, and ended their sessions"},
	{ada, events.AddressConfirmed{Change: someID, PortalUserID: "pu-1", PortalUserNo: 1, AddressVersion: 2}, "Ada Admin confirmed with portal user pu-1 that their new e-mail address is theirs"},
	{pat, events.OptOut{Out: true, Change: someID, PortalUserID: "pu-1", PortalUserNo: 1, How: events.OptOutInPortal}, "Portal user pu-1 turned off e-mails about new messages for portal user pu-1"},
	{"process:api", events.OptOut{Out: true, Change: someID, PortalUserID: "pu-1", PortalUserNo: 1, How: events.OptOutOneClick}, "The process api turned off e-mails about new messages for portal user pu-1, with the link of an e-mail"},
	{pat, events.OptOut{Change: someID, PortalUserID: "pu-1", PortalUserNo: 1, How: events.OptOutInPortal}, "Portal user pu-1 turned on e-mails about new messages for portal user pu-1"},
	{ada, events.InvitationsStarted{Run: someID, People: 3, Everyone: true}, "Ada Admin started the invitations " + someID.String() + " of 3 portal users without an account"},
	{ada, events.InvitationsCancelled{Run: someID}, "Ada Admin cancelled the invitations " + someID.String()},
	{"process:api", events.InvitationsFinished{Run: someID, Sent: 1200, Failed: 1, Unknown: 1, Skipped: map[string]int{"no_address": 2, "has_account": 1}}, "The process api finished the invitations " + someID.String() + ": 1,200 sent, 3 skipped, 1 failed, 1 unknown"},
	{pat, events.PasswordSet{Change: someID, Account: "portal_user", ID: "pu-1", How: events.ByLink}, "Portal user pu-1 set the password of portal user pu-1 with a link"},
	{pat, events.PasswordSet{Change: someID, Account: "portal_user", ID: "pu-1", How: events.ByLetter}, "Portal user pu-1 set the password of portal user pu-1 with the code of a letter"},
	{ada, events.IdentityLinked{Identity: someID, StaffID: "s1", Issuer: "https://login.clinic.example"}, "Ada Admin linked the staff account of Ada Admin to their sign-in at the organisation"},
	{ada, events.IdentityUnlinked{Identity: someID, StaffID: "s2"}, "Ada Admin unlinked the staff account of Noel Novice from their sign-in at the organisation"},
	{events.ByTheOrganisation, events.StaffCreated{StaffID: "s2", Name: "Noel Novice"}, "The organisation created the staff account of Noel Novice"},
	{ada, events.LabelChanged{Change: someID, Label: "patient", One: "Client", Many: "Clients"}, "Ada Admin changed the label patient"},
	{ada, events.ClinicChanged{Change: someID, Name: "Lakeside Practice", Telephone: "+1 555 0100", Address: "1 Lake Road\nSpringfield", Colour: "#0a5c66",
		Logo: &events.ClinicLogo{MediaType: "image/svg+xml", Data: []byte("<svg></svg>")}}, "Ada Admin changed the clinic’s details"},
	{ada, events.ReceiptIssued{ReceiptID: someID, MessageID: someID, PortalUserID: "pu-1", Digest: digest}, "Ada Admin issued a receipt for the delivery of the message to portal user pu-1"},
	{ada, events.DeliveryDisclosed{Disclosure: someID, MessageID: someID, PortalUserID: "pu-1", PatientIDs: []string{"pt-1"}, To: "Lena Lawyer", Address: "1 Court Street",
		Basis: events.ToOther, Purpose: "court order 12/26", Content: true, Documents: 2, Digest: digest, Receipt: digest},
		"Ada Admin disclosed the delivery of the message to portal user pu-1, with its text and 2 documents, to Lena Lawyer"},
	{ada, events.ParkedDecision{Retried: true, ParkedID: someID, Tries: 8, Seq: 17, Consumer: "fanout-bulk", ID: &someID, Type: "message.sent", MessageID: &someID, Reason: "x", Actor: "staff:s1"}, "Ada Admin retried event 17, which fanout-bulk had parked"},
	{ada, events.ParkedDecision{ParkedID: someID, Tries: 8, Seq: 17, Consumer: "fanout-bulk", ID: &someID, Type: "message.sent", MessageID: &someID, Reason: "x", Actor: "staff:s1"}, "Ada Admin discarded event 17, which fanout-bulk had parked"},
	{ada, events.AlertingPaused{Change: someID, MessageID: &someID, Automatic: true, Reason: "x"}, "Ada Admin paused the alerts of the message, because too many failed"},
	{ada, events.AlertingResumed{Change: someID, MessageID: &someID, Reason: "x"}, "Ada Admin resumed the alerts of the message"},
	{ada, events.DirectoryImported{ImportID: someID, Format: "fhir", Patients: tally, PortalUsers: tally, Links: tally}, "Ada Admin imported the directory: patients 3 new and 2 changed, portal users 3 new and 2 changed, links 3 new and 2 changed"},
	{ada, events.RecordRead{Reading: someID, What: events.ReadList, Seq: 7, Format: "csv", Filter: recordFilter, Count: 7}, "Ada Admin read a list of 7 events of the record"},
	{ada, events.RecordRead{Reading: someID, What: events.ReadPeople, Count: 1}, "Ada Admin found 1 person by name"},
	{ada, events.RecordExported{Export: someID, Format: "csv", Filter: recordFilter, Through: 9, Events: 7, Rows: 7, Bytes: 512,
		Digest: digest, Checkpoint: "postern/record", Covers: 8}, "Ada Admin exported 7 events of the record as csv"},
	{ada, events.ErasureRequested{ErasureID: someID, MessageID: someID, Reason: "it went to the wrong person"}, "Ada Admin requested the erasure of the content of the message"},
	{ada, events.ErasureWithdrawn{ErasureID: someID, MessageID: someID}, "Ada Admin withdrew the request to erase the content of the message"},
	{ada, events.ContentErased{ErasureID: someID, MessageID: someID, ApprovedBy: "staff:s2", Early: true}, "Ada Admin approved the erasure of the content of the message, before its retention had ended"},
	{ada, events.RetentionChanged{Years: 10, Before: 6, After: 7}, "Ada Admin changed the retention of content from 6 to 10 years"},
	{webhook, events.AddressReported{ID: "made-up", Type: "bounce", At: time.Unix(1_700_000_000, 0).UTC(), Status: "5.1.1", Reason: "550 no such user",
		Dead: []events.DeadAddress{{PortalUserID: "pu-1", PortalUserNo: 1, Version: 2}}}, "SendGrid reported that the e-mail address of 1 portal user does not work"},
}

func init() {
	for _, x := range examples[:len(examples):len(examples)] {
		if h, ok := x.Body.(events.Hiding); ok {
			examples = append(examples, Example{x.Actor, Hidden(h), x.Summary})
		}
		if m, ok := x.Body.(events.MessageSent); ok { // what it concerns is only in a version with parts
			m.Recipients.About = map[string][]string{"pu-1": {"pt-1"}}
			examples = append(examples, Example{x.Actor, Hidden(m), x.Summary})
		}
	}
}

// Hidden returns the body with the people that it names hidden, with a seed that no one can open.
func Hidden(body events.Hiding) events.Body {
	hidden, err := events.Hide(body, key)
	if err != nil {
		panic(err)
	}
	return hidden
}

var key = func() *salted.PublicKey {
	key, err := salted.NewKey()
	if err != nil {
		panic(err)
	}
	return key.Public()
}()

var recordFilter = events.RecordFilter{MessageID: &someID, PortalUserID: "pu-1", PatientID: "pt-1", Type: "signed_in",
	Actor: "staff:s1", From: &someDay, To: &someDay}

func members(places ...int) (m block.Members) {
	for _, place := range places {
		m.Add(place)
	}
	return m
}
