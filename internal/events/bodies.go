package events

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A Type is the name of a kind of event, in the past tense.
type Type string

// The life of a message, in the order in which it comes about.
const (
	TypeMessageSent          Type = "message.sent"
	TypeMessageReleased      Type = "message.released"
	TypeMessageCancelled     Type = "message.cancelled"
	TypeAudienceResolved     Type = "audience.resolved"
	TypeDeliveriesCreated    Type = "deliveries.created"
	TypeFanoutCompleted      Type = "fanout.completed"
	TypeAlertsAccepted       Type = "alerts.accepted"
	TypeAlertsFailed         Type = "alerts.failed"
	TypeAlertsSkipped        Type = "alerts.skipped"
	TypeAlertsUnknown        Type = "alerts.unknown"
	TypeAlertsReported       Type = "alerts.reported"
	TypeAddressReported      Type = "address.reported"
	TypeDeliveryOpened       Type = "delivery.opened"
	TypeAttachmentDownloaded Type = "attachment.downloaded"
	TypeMessageRecalled      Type = "message.recalled"
)

// The life of a replay.
const (
	TypeReplayPlanned   Type = "replay.planned"
	TypeReplayStarted   Type = "replay.started"
	TypeReplayPaused    Type = "replay.paused"
	TypeReplayResumed   Type = "replay.resumed"
	TypeReplayCompleted Type = "replay.completed"
	TypeReplayCancelled Type = "replay.cancelled"
)

// Access and administration.
const (
	TypeSignedIn            Type = "signed_in"
	TypeSignInFailed        Type = "sign_in.failed"
	TypeStaffCreated        Type = "staff.created"
	TypeStaffDisabled       Type = "staff.disabled"
	TypeStaffEnabled        Type = "staff.enabled"
	TypeSecondFactorAdded   Type = "second_factor.added"
	TypeSecondFactorRemoved Type = "second_factor.removed"
	TypeSecondFactorReset   Type = "second_factor.reset"
	TypePermissionGranted   Type = "permission.granted"
	TypePermissionRevoked   Type = "permission.revoked"
	TypeLabelChanged        Type = "label.changed"
	TypeDirectoryImported   Type = "directory.imported"
	TypeReceiptIssued       Type = "receipt.issued"
	TypeRecordRead          Type = "record.read"
	TypeRecordExported      Type = "record.exported"
)

// What operators decide about what failed or must wait.
const (
	TypeParkedRetried   Type = "parked.retried"
	TypeParkedDiscarded Type = "parked.discarded"
	TypeAlertingPaused  Type = "alerting.paused"
	TypeAlertingResumed Type = "alerting.resumed"
)

// How long content is kept, and its end.
const (
	TypeErasureRequested Type = "erasure.requested"
	TypeErasureWithdrawn Type = "erasure.withdrawn"
	TypeContentErased    Type = "content.erased"
	TypeRetentionChanged Type = "retention.changed"
)

// ChunkSize is the most deliveries that are recorded and alerted together. It
// is also the most personalizations that SendGrid takes in one request.
const ChunkSize = 1000

// MessageSent says that staff pressed Send. It carries digests, never content:
// SubjectDigest and BodyDigest are SHA-256 over a random salt and the text, the
// salt being kept with the content, so that a short subject can't be guessed
// from the record once its content was destroyed.
type MessageSent struct {
	MessageID     uuid.UUID        `json:"message_id"`
	SenderID      string           `json:"sender_id"`
	SubjectDigest string           `json:"subject_digest"`
	BodyDigest    string           `json:"body_digest"`
	Attachments   []AttachmentFact `json:"attachments"`
	Recipients    Selection        `json:"recipients"`
	StaffBcc      []string         `json:"staff_bcc"`
	// Hold says why the message waits until ReleaseAt: "" it does not wait,
	// "undo" for the moment in which the sender may take it back, "scheduled".
	Hold      Hold      `json:"hold"`
	ReleaseAt time.Time `json:"release_at"`
	// Confirmed is the preview that the sender agreed to, where there was one.
	Confirmed *Confirmed `json:"confirmed,omitempty"`
}

// Hold is why a message waits between sending and fan-out.
type Hold string

// The values of [Hold].
const (
	HoldNone      Hold = "none"
	HoldUndo      Hold = "undo"
	HoldScheduled Hold = "scheduled"
)

// AttachmentFact is what the record says of a document: never its name, which
// can say a diagnosis.
type AttachmentFact struct {
	AttachmentID uuid.UUID `json:"attachment_id"`
	MediaType    string    `json:"media_type"`
	Size         int64     `json:"size"`
	SHA256       string    `json:"sha256"`
}

// Selection is the recipients as chosen.
type Selection struct {
	PortalUserIDs []string `json:"portal_user_ids"`
	Groups        []string `json:"groups"`
}

// Confirmed is the count and digest of the preview that a sender agreed to.
type Confirmed struct {
	Count  int    `json:"count"`
	Digest string `json:"digest"`
}

// MessageReleased says that a held message came due.
type MessageReleased struct {
	MessageID uuid.UUID `json:"message_id"`
}

// MessageCancelled says that a held message was called off. Where a release
// stands before it on the record, it came too late and changes nothing.
type MessageCancelled struct {
	MessageID uuid.UUID `json:"message_id"`
	StaffID   string    `json:"staff_id"`
}

// MessageRecalled says that staff took a message back, and how many portal
// users had opened it by then.
type MessageRecalled struct {
	MessageID uuid.UUID `json:"message_id"`
	StaffID   string    `json:"staff_id"`
	Reason    string    `json:"reason"`
	Opened    int       `json:"opened"`
}

// AudienceResolved says that the audience is frozen. ManifestDigest is the
// SHA-256 over the SHA-256 of each chunk's body in order, so that the
// deliveries.created events alone prove that they are that audience.
type AudienceResolved struct {
	MessageID      uuid.UUID      `json:"message_id"`
	Count          int            `json:"count"`
	Chunks         int            `json:"chunks"`
	ManifestDigest string         `json:"manifest_digest"`
	Included       map[string]int `json:"included"`
	Excluded       map[string]int `json:"excluded"`
}

// FanoutCompleted says that every chunk of a message is on the record.
type FanoutCompleted struct {
	MessageID  uuid.UUID `json:"message_id"`
	Deliveries int       `json:"deliveries"`
	Chunks     int       `json:"chunks"`
}

// AlertState is what became of an alert.
type AlertState string

// The states of an alert; see docs/states.md.
const (
	AlertPending  AlertState = "pending"
	AlertAccepted AlertState = "accepted"
	AlertFailed   AlertState = "failed"
	AlertSkipped  AlertState = "skipped"
	AlertUnknown  AlertState = "unknown"
)

// AlertOutcome is the body of the four alerts.* events: what one attempt at one
// chunk's alerts came to. State is what holds for every recipient of the attempt
// but the exceptions.
//
// An outcome of a replay is of version 2: it speaks of the recipients that it
// names among the exceptions, and of no others.
type AlertOutcome struct {
	MessageID  uuid.UUID        `json:"message_id"`
	Chunk      int              `json:"chunk"`
	Chunks     int              `json:"chunks"`
	Attempt    int              `json:"attempt"`
	Recipients int              `json:"recipients"`
	State      AlertState       `json:"state"`
	Reason     string           `json:"reason,omitempty"`
	Exceptions []AlertException `json:"exceptions"`
	Requests   []AlertRequest   `json:"requests"`
	// ReplayID and Part say which replay, and what part of it, made the attempt;
	// the one that a message makes by itself has neither.
	ReplayID *uuid.UUID `json:"replay_id,omitempty"`
	Part     int64      `json:"part,omitempty"`
}

// AlertException is a recipient whose alert went otherwise than its chunk's.
type AlertException struct {
	PortalUserID string     `json:"portal_user_id"`
	PortalUserNo int32      `json:"portal_user_no"`
	State        AlertState `json:"state"`
	Reason       string     `json:"reason,omitempty"`
}

// AlertRequest is one call of SendGrid. RequestID is our own random id, which
// SendGrid's reports come back with; SendGridID is what it answered with.
type AlertRequest struct {
	RequestID  uuid.UUID `json:"request_id"`
	SendGridID string    `json:"sendgrid_message_id,omitempty"`
	Recipients int       `json:"recipients"`
}

// DeliveryOpened says that a portal user opened a message. Only the first
// opening of a delivery is a fact of its own.
type DeliveryOpened struct {
	MessageID    uuid.UUID `json:"message_id"`
	PortalUserID string    `json:"portal_user_id"`
	PortalUserNo int32     `json:"portal_user_no"`
}

// AttachmentDownloaded says that a portal user downloaded a document. Request
// tells one download from the next.
type AttachmentDownloaded struct {
	MessageID    uuid.UUID `json:"message_id"`
	PortalUserID string    `json:"portal_user_id"`
	PortalUserNo int32     `json:"portal_user_no"`
	AttachmentID uuid.UUID `json:"attachment_id"`
	Request      uuid.UUID `json:"request"`
}

// SignIn is the body of signed_in and sign_in.failed. Account is "staff" or
// "portal_user"; ID is empty where no such account exists: the address that was
// typed is not kept. Version 1 has no Method.
type SignIn struct {
	Failed  bool         `json:"-"`
	Attempt uuid.UUID    `json:"attempt"`
	Account string       `json:"account"`
	ID      string       `json:"id"`
	Method  SignInMethod `json:"method,omitempty"`
	Reason  string       `json:"reason,omitempty"`
}

// SignInMethod is how somebody showed who they are, or tried to.
type SignInMethod string

// The values of [SignInMethod]. With ByOrganisation an issuer of the clinic's own
// (OpenID Connect) told who it is.
const (
	ByPassword                SignInMethod = "password"
	ByPasswordAndCode         SignInMethod = "password_and_code"
	ByPasswordAndRecoveryCode SignInMethod = "password_and_recovery_code"
	ByOrganisation            SignInMethod = "organisation"
)

// SecondFactor is the body of the second_factor events: what became of the second
// factor with which a staff member signs in. Change names the factor that was added,
// and otherwise tells one change from the next.
type SecondFactor struct {
	What    SecondFactorChange `json:"-"`
	Change  uuid.UUID          `json:"change"`
	StaffID string             `json:"staff_id"`
}

// SecondFactorChange is what became of a second factor.
type SecondFactorChange string

// The values of [SecondFactorChange]. Its owner adds and removes it; another resets it.
const (
	FactorAdded   SecondFactorChange = "added"
	FactorRemoved SecondFactorChange = "removed"
	FactorReset   SecondFactorChange = "reset"
)

// StaffCreated says that a person was made staff.
type StaffCreated struct {
	StaffID string `json:"staff_id"`
	Name    string `json:"name"`
}

// StaffSwitched is the body of staff.disabled and staff.enabled: whether a staff member
// may come in.
type StaffSwitched struct {
	Disabled bool      `json:"-"`
	Change   uuid.UUID `json:"change"`
	StaffID  string    `json:"staff_id"`
}

// PermissionChanged is the body of permission.granted and permission.revoked.
type PermissionChanged struct {
	Granted    bool      `json:"-"`
	Change     uuid.UUID `json:"change"`
	StaffID    string    `json:"staff_id"`
	Permission string    `json:"permission"`
}

// LabelChanged says how the clinic names something from now on.
type LabelChanged struct {
	Change uuid.UUID `json:"change"`
	Label  string    `json:"label"`
	One    string    `json:"one"`
	Many   string    `json:"many"`
}

// DirectoryImported says that an import changed the directory.
type DirectoryImported struct {
	ImportID    uuid.UUID   `json:"import_id"`
	Format      string      `json:"format"`
	Patients    ImportTally `json:"patients"`
	PortalUsers ImportTally `json:"portal_users"`
	Links       ImportTally `json:"links"`
}

// ReceiptIssued says that the proof of one delivery was handed out: Digest is that
// which stands in it, Names whether it says how the documents are called.
type ReceiptIssued struct {
	ReceiptID    uuid.UUID `json:"receipt_id"`
	MessageID    uuid.UUID `json:"message_id"`
	PortalUserID string    `json:"portal_user_id"`
	Digest       string    `json:"digest"`
	Names        bool      `json:"names"`
}

// ImportTally counts the rows of one kind in an import.
type ImportTally struct {
	New       int `json:"new"`
	Changed   int `json:"changed"`
	Unchanged int `json:"unchanged"`
}

// EventType, Key and Message of each body follow, one line a method: together
// they are the table of what makes a fact the same fact.

func (MessageSent) EventType() (Type, int)        { return TypeMessageSent, 1 }
func (b MessageSent) Key() []string               { return []string{b.MessageID.String()} }
func (b MessageSent) Message() uuid.UUID          { return b.MessageID }
func (MessageReleased) EventType() (Type, int)    { return TypeMessageReleased, 1 }
func (b MessageReleased) Key() []string           { return []string{b.MessageID.String()} }
func (b MessageReleased) Message() uuid.UUID      { return b.MessageID }
func (MessageCancelled) EventType() (Type, int)   { return TypeMessageCancelled, 1 }
func (b MessageCancelled) Key() []string          { return []string{b.MessageID.String()} }
func (b MessageCancelled) Message() uuid.UUID     { return b.MessageID }
func (MessageRecalled) EventType() (Type, int)    { return TypeMessageRecalled, 1 }
func (b MessageRecalled) Key() []string           { return []string{b.MessageID.String()} }
func (b MessageRecalled) Message() uuid.UUID      { return b.MessageID }
func (AudienceResolved) EventType() (Type, int)   { return TypeAudienceResolved, 1 }
func (b AudienceResolved) Key() []string          { return []string{b.MessageID.String()} }
func (b AudienceResolved) Message() uuid.UUID     { return b.MessageID }
func (FanoutCompleted) EventType() (Type, int)    { return TypeFanoutCompleted, 1 }
func (b FanoutCompleted) Key() []string           { return []string{b.MessageID.String()} }
func (b FanoutCompleted) Message() uuid.UUID      { return b.MessageID }
func (b AlertOutcome) Message() uuid.UUID         { return b.MessageID }
func (b AlertOutcome) ChunkRef() ChunkRef         { return ChunkRef{b.Chunk, b.Chunks} }
func (AlertsReported) EventType() (Type, int)     { return TypeAlertsReported, 1 }
func (AddressReported) EventType() (Type, int)    { return TypeAddressReported, 1 }
func (AddressReported) Message() uuid.UUID        { return uuid.Nil }
func (b AddressReported) Key() []string           { return []string{b.ID} }
func (b AlertsReported) Message() uuid.UUID       { return b.MessageID }
func (DeliveryOpened) EventType() (Type, int)     { return TypeDeliveryOpened, 1 }
func (b DeliveryOpened) Key() []string            { return []string{b.MessageID.String(), b.PortalUserID} }
func (b DeliveryOpened) Message() uuid.UUID       { return b.MessageID }
func (b AttachmentDownloaded) Key() []string      { return []string{b.Request.String()} }
func (b AttachmentDownloaded) Message() uuid.UUID { return b.MessageID }
func (b SignIn) Key() []string                    { return []string{b.Attempt.String()} }
func (SignIn) Message() uuid.UUID                 { return uuid.Nil }
func (StaffCreated) EventType() (Type, int)       { return TypeStaffCreated, 1 }
func (b StaffCreated) Key() []string              { return []string{b.StaffID} }
func (StaffCreated) Message() uuid.UUID           { return uuid.Nil }
func (b StaffSwitched) Key() []string             { return []string{b.Change.String(), b.StaffID} }
func (StaffSwitched) Message() uuid.UUID          { return uuid.Nil }
func (b SecondFactor) Key() []string              { return []string{b.Change.String(), b.StaffID} }
func (SecondFactor) Message() uuid.UUID           { return uuid.Nil }
func (b SecondFactor) EventType() (Type, int)     { return Type("second_factor." + string(b.What)), 1 }
func (b PermissionChanged) Key() []string {
	return []string{b.Change.String(), b.StaffID, b.Permission}
}
func (PermissionChanged) Message() uuid.UUID        { return uuid.Nil }
func (LabelChanged) EventType() (Type, int)         { return TypeLabelChanged, 1 }
func (b LabelChanged) Key() []string                { return []string{b.Change.String(), b.Label} }
func (LabelChanged) Message() uuid.UUID             { return uuid.Nil }
func (DirectoryImported) EventType() (Type, int)    { return TypeDirectoryImported, 1 }
func (b DirectoryImported) Key() []string           { return []string{b.ImportID.String()} }
func (DirectoryImported) Message() uuid.UUID        { return uuid.Nil }
func (ReceiptIssued) EventType() (Type, int)        { return TypeReceiptIssued, 1 }
func (b ReceiptIssued) Key() []string               { return []string{b.ReceiptID.String()} }
func (b ReceiptIssued) Message() uuid.UUID          { return b.MessageID }
func (AttachmentDownloaded) EventType() (Type, int) { return TypeAttachmentDownloaded, 1 }

// EventType tells an outcome of a replay from that of the first attempt.
func (b AlertOutcome) EventType() (Type, int) {
	if b.ReplayID != nil {
		return Type("alerts." + string(b.State)), 2
	}
	return Type("alerts." + string(b.State)), 1
}

// Key leaves the chunk's own counters out, but not the state, nor how many of its
// recipients are unknown where others are not: an answer that comes after it was
// declared unknown is another fact.
func (b AlertOutcome) Key() []string {
	key := []string{b.MessageID.String(), strconv.Itoa(b.Chunk), strconv.Itoa(b.Attempt), string(b.State)}
	if b.ReplayID != nil {
		key = append(key, strconv.FormatInt(b.Part, 10))
	}
	if n := b.Unknown(); n > 0 && n < b.Recipients {
		key = append(key, fmt.Sprintf("%d unknown", n))
	}
	return key
}

// Unknown is to how many recipients the answer was never learned.
func (b AlertOutcome) Unknown() (n int) {
	if b.State == AlertUnknown {
		n = b.Recipients - len(b.Exceptions)
	}
	for _, x := range b.Exceptions {
		if x.State == AlertUnknown {
			n++
		}
	}
	return n
}

// EventType tells the two ends of a sign-in apart.
func (b SignIn) EventType() (Type, int) {
	version := 2
	if b.Method == "" {
		version = 1
	}
	if b.Failed {
		return TypeSignInFailed, version
	}
	return TypeSignedIn, version
}

// EventType tells disabling from enabling.
func (b StaffSwitched) EventType() (Type, int) {
	if b.Disabled {
		return TypeStaffDisabled, 1
	}
	return TypeStaffEnabled, 1
}

// EventType tells granting from revoking.
func (b PermissionChanged) EventType() (Type, int) {
	if b.Granted {
		return TypePermissionGranted, 1
	}
	return TypePermissionRevoked, 1
}

func (b *AlertOutcome) ofType(t Type) { b.State = AlertState(strings.TrimPrefix(string(t), "alerts.")) }
func (b *SignIn) ofType(t Type)       { b.Failed = t == TypeSignInFailed }
func (b *SecondFactor) ofType(t Type) {
	b.What = SecondFactorChange(strings.TrimPrefix(string(t), "second_factor."))
}
func (b *StaffSwitched) ofType(t Type)     { b.Disabled = t == TypeStaffDisabled }
func (b *PermissionChanged) ofType(t Type) { b.Granted = t == TypePermissionGranted }
