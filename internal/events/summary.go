package events

import (
	"fmt"
	"strconv"
	"strings"

	"postern/internal/text/number"

	"github.com/google/uuid"
)

// Names gives the name of a staff member, by their id; "" where it is not known.
type Names func(staffID string) string

// Summary says in one line of plain words who did what, and to whom. Staff are called by
// name, portal users and everything else by id. But for these names it holds nothing that
// anybody typed. What the body of an event of a type known here does not say is left out.
// Names may be nil: then staff are called by id, too.
func Summary(e Event, names Names) string {
	if say, ok := summaries[e.Type]; ok {
		if text, err := say(e, names); err == nil {
			return names.actor(e.Actor) + " " + text
		}
	}
	return strings.NewReplacer(".", " ", "_", " ").Replace(string(e.Type))
}

// staff is what a staff member is called.
func (n Names) staff(id string) string {
	if n != nil {
		if name := n(id); name != "" {
			return name
		}
	}
	return unnamed + id
}

// unnamed stands before the id of a staff member whose name is not known.
const unnamed = "staff member "

// actor is what the actor of an event is called, at the beginning of a sentence.
func (n Names) actor(actor string) string {
	kind, id, _ := strings.Cut(actor, ":")
	switch {
	case kind == "staff":
		if name := n.staff(id); name != unnamed+id {
			return name
		}
		return "Staff member " + id
	case kind == "portal_user":
		return "Portal user " + id
	case actor == "process:sendgrid":
		return "SendGrid"
	case kind == "process":
		return "The process " + id
	case kind == "operator":
		return "Operator " + id
	}
	return "An unknown actor"
}

// account is what an account is called that somebody signs in to.
func (n Names) account(realm, id string) string {
	switch {
	case id == "" && realm == "portal_user":
		return "an unknown portal user"
	case id == "":
		return "an unknown staff member"
	case realm == "portal_user":
		return "portal user " + id
	}
	return n.staff(id)
}

// summaries is the table of what is said of each type: what its actor did.
var summaries = map[Type]func(Event, Names) (string, error){
	TypeMessageSent:          summary(MessageSent.summary),
	TypeMessageReleased:      words("released the message, which was due"),
	TypeMessageCancelled:     words("cancelled the message before it went out"),
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
	TypeReplayStarted:        summary(func(b ReplayStarted, _ Names) string { return "started the replay " + b.ReplayID.String() }),
	TypeReplayPaused:         summary(func(b ReplayPaused, _ Names) string { return "paused the replay " + b.ReplayID.String() }),
	TypeReplayResumed:        summary(func(b ReplayResumed, _ Names) string { return "resumed the replay " + b.ReplayID.String() }),
	TypeReplayCancelled:      summary(func(b ReplayCancelled, _ Names) string { return "cancelled the replay " + b.ReplayID.String() }),
	TypeReplayCompleted:      summary(ReplayCompleted.summary),
	TypeDeliveryOpened:       words("opened the message"),
	TypeAttachmentDownloaded: words("downloaded a document of the message"),
	TypeMessageRecalled:      summary(MessageRecalled.summary),
	TypeSignedIn:             summary(SignIn.summary),
	TypeSignInFailed:         summary(SignIn.summary),
	TypeStaffCreated:         summary(func(b StaffCreated, _ Names) string { return "created the staff account of " + b.Name }),
	TypeStaffDisabled:        summary(StaffSwitched.summary),
	TypeStaffEnabled:         summary(StaffSwitched.summary),
	TypeSecondFactorAdded:    summary(SecondFactor.summary),
	TypeSecondFactorRemoved:  summary(SecondFactor.summary),
	TypeSecondFactorReset:    summary(SecondFactor.summary),
	TypePermissionGranted:    summary(PermissionChanged.summary),
	TypePermissionRevoked:    summary(PermissionChanged.summary),
	TypeLabelChanged:         summary(LabelChanged.summary),
	TypeDirectoryImported:    summary(DirectoryImported.summary),
	TypeRecordRead:           summary(RecordRead.summary),
	TypeRecordExported:       summary(RecordExported.summary),
	TypeReceiptIssued: summary(func(b ReceiptIssued, _ Names) string {
		return "issued a receipt for the delivery of the message to portal user " + b.PortalUserID
	}),
	TypeParkedRetried:    summary(ParkedSettled.summary),
	TypeParkedDiscarded:  summary(ParkedSettled.summary),
	TypeAlertingPaused:   summary(AlertingPaused.summary),
	TypeAlertingResumed:  summary(AlertingResumed.summary),
	TypeErasureRequested: words("asked for the content of the message to be erased"),
	TypeErasureWithdrawn: words("withdrew the request to erase the content of the message"),
	TypeContentErased:    summary(ContentErased.summary),
	TypeRetentionChanged: summary(RetentionChanged.summary),
}

// summary decodes the body and has it say what was done.
func summary[T any, P interface {
	*T
	Body
}](say func(T, Names) string) func(Event, Names) (string, error) {
	return func(e Event, names Names) (string, error) {
		body, err := Decode[T, P](e)
		if err != nil {
			return "", err
		}
		return say(body, names), nil
	}
}

func words(text string) func(Event, Names) (string, error) {
	return func(Event, Names) (string, error) { return text, nil }
}

// chunkSummary counts the deliveries of a chunk.
func chunkSummary(e Event, _ Names) (string, error) {
	n := 0
	if _, _, err := ScanChunk(e.Data, func(*Recipient) error { n++; return nil }); err != nil {
		return "", err
	}
	return chunkDone(n, e.Chunk), nil
}

// ChunkSummary is the [Summary] of a deliveries.created whose body need not be read
// for it.
func ChunkSummary(actor string, names Names, deliveries int, c *ChunkRef) string {
	return names.actor(actor) + " " + chunkDone(deliveries, c)
}

func chunkDone(deliveries int, c *ChunkRef) string {
	return "recorded " + counted(deliveries, "delivery", "deliveries") + placeOf(c)
}

func placeOf(c *ChunkRef) string {
	if c == nil {
		return ""
	}
	return fmt.Sprintf(" (chunk %s of %s)", grouped(c.Index+1), grouped(c.Of))
}

func (b MessageSent) summary(Names) string {
	var to []string
	if n := len(b.Recipients.PortalUserIDs); n > 0 {
		to = append(to, counted(n, "portal user", "portal users"))
	}
	if n := len(b.Recipients.Groups); n > 0 {
		to = append(to, counted(n, "group", "groups"))
	}
	text := "sent a message to " + strings.Join(to, " and ")
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

func (b AudienceResolved) summary(Names) string {
	return "froze the audience: " + counted(b.Count, "portal user", "portal users") + " in " + counted(b.Chunks, "chunk", "chunks")
}

func (b FanoutCompleted) summary(Names) string {
	return "recorded every delivery: " + grouped(b.Deliveries) + " in " + counted(b.Chunks, "chunk", "chunks")
}

func (b AlertOutcome) summary(Names) string {
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
	text := "recorded alerts: " + strings.Join(parts, ", ") + placeOf(&ChunkRef{b.Chunk, b.Chunks})
	if others[AlertSkipped] == b.Recipients { // no request was made
		return text
	}
	return text + ", attempt " + strconv.Itoa(b.Attempt)
}

func (b MessageRecalled) summary(Names) string {
	return "recalled the message after " + counted(b.Opened, "portal user", "portal users") + " had opened it"
}

func (b SignIn) summary(names Names) string {
	if !b.Failed {
		return "signed in" + map[SignInMethod]string{ByPasswordAndCode: " with a second factor",
			ByPasswordAndRecoveryCode: " with a recovery code", ByOrganisation: " at their organisation"}[b.Method]
	}
	return "refused a sign-in as " + names.account(b.Account, b.ID)
}

func (b StaffSwitched) summary(names Names) string {
	if b.Disabled {
		return "disabled the staff account of " + names.staff(b.StaffID)
	}
	return "enabled the staff account of " + names.staff(b.StaffID)
}

func (b SecondFactor) summary(names Names) string {
	switch b.What {
	case FactorAdded:
		return "set up a second factor for " + names.staff(b.StaffID)
	case FactorRemoved:
		return "removed the second factor of " + names.staff(b.StaffID)
	}
	return "reset the second factor of " + names.staff(b.StaffID)
}

func (b PermissionChanged) summary(names Names) string {
	if b.Granted {
		return "gave " + names.staff(b.StaffID) + " the permission " + b.Permission
	}
	return "took the permission " + b.Permission + " from " + names.staff(b.StaffID)
}

func (b LabelChanged) summary(Names) string { return "changed the label " + b.Label }

func (b ParkedSettled) summary(Names) string {
	what := "event " + strconv.FormatUint(b.Seq, 10) + ", which " + b.Consumer + " had parked"
	if b.Retried {
		return "retried " + what
	}
	return "discarded " + what
}

func (b DirectoryImported) summary(Names) string {
	tally := func(t ImportTally) string { return grouped(t.New) + " new and " + grouped(t.Changed) + " changed" }
	return fmt.Sprintf("imported the directory: patients %s, portal users %s, links %s",
		tally(b.Patients), tally(b.PortalUsers), tally(b.Links))
}

func (b RecordRead) summary(Names) string {
	switch b.What {
	case ReadEvent:
		return "read event " + strconv.FormatUint(b.Seq, 10) + " of the record"
	case ReadExport:
		return "began an export of the record"
	case ReadTail:
		return "followed the record as it grows"
	}
	return "read a list of " + counted(b.Count, "event", "events") + " of the record"
}

func (b RecordExported) summary(Names) string {
	return "exported " + counted(b.Events, "event", "events") + " of the record as " + b.Format
}

var counted, grouped = number.Of, number.Text

func (b AlertsReported) summary(Names) string {
	n := 0
	for _, r := range b.Requests {
		n += len(r.Reports)
	}
	return "reported on alerts of the message: " + counted(n, "report", "reports")
}

func (b AddressReported) summary(Names) string {
	return "reported that the e-mail address of " + counted(len(b.Dead), "portal user", "portal users") + " does not work"
}

func (b ReplayPlanned) summary(Names) string {
	return "planned the replay " + b.ReplayID.String() + " of " + counted(b.Count, "alert", "alerts")
}

func (b ReplayCompleted) summary(Names) string {
	return fmt.Sprintf("completed the replay %s: %s accepted, %s failed, %s skipped, %s unknown", b.ReplayID,
		grouped(b.Accepted), grouped(b.Failed), grouped(b.Skipped), grouped(b.Unknown))
}

func (b AlertingPaused) summary(Names) string {
	if b.Automatic {
		return "paused the alerts of the message, because too many failed"
	}
	return "paused " + alertsOf(b.MessageID)
}

func (b AlertingResumed) summary(Names) string { return "resumed " + alertsOf(b.MessageID) }

func alertsOf(message *uuid.UUID) string {
	if message == nil {
		return "all alerts"
	}
	return "the alerts of the message"
}
