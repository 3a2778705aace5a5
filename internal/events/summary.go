package events

import (
	"fmt"
	"strconv"
	"strings"
)

// Summary says in one line of plain words what happened. It holds nothing that
// anybody typed, no name and no id: it is ASCII, and safe wherever it is shown.
// What the body of an event of a type known here does not say is left out.
func Summary(e Event) string {
	if say, ok := summaries[e.Type]; ok {
		if text, err := say(e); err == nil {
			return text
		}
	}
	return strings.NewReplacer(".", " ", "_", " ").Replace(string(e.Type))
}

// summaries is the table of what is said of each type.
var summaries = map[Type]func(Event) (string, error){
	TypeMessageSent:          summary(MessageSent.summary),
	TypeMessageReleased:      words("a held message came due and went out"),
	TypeMessageCancelled:     words("a held message was called off"),
	TypeAudienceResolved:     summary(AudienceResolved.summary),
	TypeDeliveriesCreated:    chunkSummary,
	TypeFanoutCompleted:      summary(FanoutCompleted.summary),
	TypeAlertsAccepted:       summary(AlertOutcome.summary),
	TypeAlertsFailed:         summary(AlertOutcome.summary),
	TypeAlertsSkipped:        summary(AlertOutcome.summary),
	TypeAlertsUnknown:        summary(AlertOutcome.summary),
	TypeAlertsReported:       summary(AlertsReported.summary),
	TypeAddressReported:      summary(AddressReported.summary),
	TypeReplayPlanned:        summary(ReplayPlanned.summary),
	TypeReplayStarted:        words("a replay was started"),
	TypeReplayPaused:         words("a replay was paused"),
	TypeReplayResumed:        words("a replay goes on"),
	TypeReplayCancelled:      words("a replay was cancelled"),
	TypeReplayCompleted:      summary(ReplayCompleted.summary),
	TypeDeliveryOpened:       words("a portal user opened the message"),
	TypeAttachmentDownloaded: words("a portal user downloaded a document"),
	TypeMessageRecalled:      summary(MessageRecalled.summary),
	TypeSignedIn:             summary(SignIn.summary),
	TypeSignInFailed:         summary(SignIn.summary),
	TypeStaffCreated:         words("somebody was made staff"),
	TypeStaffDisabled:        words("a staff member was disabled"),
	TypeStaffEnabled:         words("a staff member was enabled again"),
	TypeSecondFactorAdded:    words("a staff member set up a second factor"),
	TypeSecondFactorRemoved:  words("a staff member removed their second factor"),
	TypeSecondFactorReset:    words("the second factor of a staff member was reset"),
	TypePermissionGranted:    summary(PermissionChanged.summary),
	TypePermissionRevoked:    summary(PermissionChanged.summary),
	TypeLabelChanged:         summary(LabelChanged.summary),
	TypeDirectoryImported:    summary(DirectoryImported.summary),
	TypeRecordRead:           summary(RecordRead.summary),
	TypeRecordExported:       summary(RecordExported.summary),
	TypeReceiptIssued:        words("a receipt was issued for one delivery"),
	TypeParkedRetried:        words("a parked event is retried"),
	TypeParkedDiscarded:      words("a parked event was discarded"),
	TypeAlertingPaused:       summary(AlertingPaused.summary),
	TypeAlertingResumed:      words("alerts go out again"),
	TypeErasureRequested:     words("somebody asked for the content of the message to be erased"),
	TypeErasureWithdrawn:     words("a request to erase the content of the message was withdrawn"),
	TypeContentErased:        summary(ContentErased.summary),
	TypeRetentionChanged:     summary(RetentionChanged.summary),
}

// summary decodes the body and lets it speak.
func summary[T any, P interface {
	*T
	Body
}](say func(T) string) func(Event) (string, error) {
	return func(e Event) (string, error) {
		body, err := Decode[T, P](e)
		if err != nil {
			return "", err
		}
		return say(body), nil
	}
}

func words(text string) func(Event) (string, error) {
	return func(Event) (string, error) { return text, nil }
}

// chunkSummary counts the deliveries of a chunk.
func chunkSummary(e Event) (string, error) {
	n := 0
	if _, _, err := ScanChunk(e.Data, func(*Recipient) error { n++; return nil }); err != nil {
		return "", err
	}
	return ChunkSummary(n, e.Chunk), nil
}

// ChunkSummary is the [Summary] of a deliveries.created whose body need not be read
// for it.
func ChunkSummary(deliveries int, c *ChunkRef) string {
	return counted(deliveries, "delivery", "deliveries") + " recorded" + placeOf(c)
}

func placeOf(c *ChunkRef) string {
	if c == nil {
		return ""
	}
	return fmt.Sprintf(" (chunk %s of %s)", grouped(c.Index+1), grouped(c.Of))
}

func (b MessageSent) summary() string {
	var to []string
	if n := len(b.Recipients.PortalUserIDs); n > 0 {
		to = append(to, counted(n, "portal user", "portal users"))
	}
	if n := len(b.Recipients.Groups); n > 0 {
		to = append(to, counted(n, "group", "groups"))
	}
	text := "a message was sent to " + strings.Join(to, " and ")
	if n := len(b.Attachments); n > 0 {
		text += ", with " + counted(n, "document", "documents")
	}
	switch b.Hold {
	case HoldUndo:
		text += ", held for undo"
	case HoldScheduled:
		text += ", scheduled for " + b.ReleaseAt.UTC().Format("2006-01-02 15:04:05") + " UTC"
	}
	return text
}

func (b AudienceResolved) summary() string {
	return "the audience was frozen: " + counted(b.Count, "portal user", "portal users") + " in " + counted(b.Chunks, "chunk", "chunks")
}

func (b FanoutCompleted) summary() string {
	return "every delivery is recorded: " + grouped(b.Deliveries) + " in " + counted(b.Chunks, "chunk", "chunks")
}

func (b AlertOutcome) summary() string {
	others := map[AlertState]int{}
	for _, x := range b.Exceptions {
		others[x.State]++
	}
	others[b.State] += b.Recipients - len(b.Exceptions)
	var parts []string
	for _, state := range []AlertState{AlertAccepted, AlertFailed, AlertSkipped, AlertUnknown} {
		if n := others[state]; n > 0 {
			parts = append(parts, grouped(n)+" "+string(state))
		}
	}
	return "alerts: " + strings.Join(parts, ", ") + placeOf(&ChunkRef{b.Chunk, b.Chunks}) + ", attempt " + strconv.Itoa(b.Attempt)
}

func (b MessageRecalled) summary() string {
	return "the message was taken back after " + grouped(b.Opened) + " had opened it"
}

func (b SignIn) summary() string {
	who := "staff"
	if b.Account == "portal_user" {
		who = "a portal user"
	}
	if !b.Failed {
		return who + " signed in" + map[SignInMethod]string{ByPasswordAndCode: " with a second factor",
			ByPasswordAndRecoveryCode: " with a recovery code", ByOrganisation: " at their organisation"}[b.Method]
	}
	return "signing in as " + who + " failed"
}

func (b PermissionChanged) summary() string {
	if b.Granted {
		return "the permission " + b.Permission + " was given"
	}
	return "the permission " + b.Permission + " was taken away"
}

func (b LabelChanged) summary() string { return "the label " + b.Label + " was changed" }

func (b DirectoryImported) summary() string {
	tally := func(t ImportTally) string { return grouped(t.New) + " new and " + grouped(t.Changed) + " changed" }
	return fmt.Sprintf("the directory was imported: patients %s, portal users %s, links %s",
		tally(b.Patients), tally(b.PortalUsers), tally(b.Links))
}

func (b RecordRead) summary() string {
	switch b.What {
	case ReadEvent:
		return "event " + strconv.FormatUint(b.Seq, 10) + " of the record was read"
	case ReadExport:
		return "an export of the record was begun"
	case ReadTail:
		return "the record was followed as it grows"
	}
	return "the record was read: a list of " + counted(b.Count, "event", "events")
}

func (b RecordExported) summary() string {
	return "the record was exported: " + counted(b.Events, "event", "events") + " as " + b.Format
}

// counted gives "1 document" or "1,000 documents".
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func (b AlertsReported) summary() string {
	n := 0
	for _, r := range b.Requests {
		n += len(r.Reports)
	}
	return "SendGrid reported on alerts: " + counted(n, "report", "reports")
}

func (b AddressReported) summary() string {
	return "SendGrid reported that the e-mail address of " + counted(len(b.Dead), "portal user", "portal users") + " does not work"
}

func (b ReplayPlanned) summary() string {
	return "a replay of " + counted(b.Count, "alert", "alerts") + " was planned"
}

func (b ReplayCompleted) summary() string {
	return fmt.Sprintf("a replay ended: %s accepted, %s failed, %s skipped, %s unknown",
		grouped(b.Accepted), grouped(b.Failed), grouped(b.Skipped), grouped(b.Unknown))
}

func (b AlertingPaused) summary() string {
	if b.Automatic {
		return "the alerts of the message paused by themselves: too many failed"
	}
	return "alerts were paused"
}
