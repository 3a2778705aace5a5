package events

import (
	"github.com/google/uuid"

	"postern/internal/text/language"
)

// A message's audience, its deliveries, and their use by portal users.
const (
	TypeAudienceResolved     Type = "audience.resolved"
	TypeDeliveriesCreated    Type = "deliveries.created"
	TypeFanoutCompleted      Type = "fanout.completed"
	TypeDeliveryOpened       Type = "delivery.opened"
	TypeAttachmentDownloaded Type = "attachment.downloaded"
)

var deliveryTypes = []Descriptor{{
	Type: TypeAudienceResolved, Version: ofDirectory, Label: "Audience frozen",
	When:       "fan-out has frozen the audience",
	Publishers: []string{FanoutWorker}, Rows: []string{"messages"},
	OfMessage: OneMessage, summary: summary(AudienceResolved.summary),
}, {
	Type: TypeDeliveriesCreated, Version: byEntry, Label: "Deliveries recorded",
	When:       "the deliveries of one chunk are recorded",
	Publishers: []string{FanoutWorker}, Consumers: []string{NotifyWorker}, Rows: []string{"messages", "chunks", "inbox"},
	About: AboutChunk, OfMessage: OneMessage, summary: chunkSummary,
}, {
	Type: TypeFanoutCompleted, Version: withNotice, Label: "All deliveries recorded",
	When:       "the deliveries of all chunks are recorded",
	Publishers: []string{FanoutWorker}, Rows: []string{"messages", "notices"},
	OfMessage: OneMessage, summary: summary(FanoutCompleted.summary),
}, {
	Type: TypeDeliveryOpened, Version: 1, Label: "Message opened",
	When:       "a portal user opens a message for the first time",
	Publishers: []string{API}, Rows: []string{"messages", "opens", "inbox"},
	About: AboutActor, OfMessage: OneMessage, summary: words(language.Mark("opened the message")),
}, {
	Type: TypeAttachmentDownloaded, Version: 1, Label: "Document downloaded",
	When:       "a portal user downloads a document",
	Publishers: []string{API}, Rows: []string{"downloads"},
	About: AboutActor, OfMessage: OneMessage, summary: words(language.Mark("downloaded a document of the message")),
}}

// AudienceResolved says that the audience is frozen. ManifestDigest is the SHA-256
// over the SHA-256 of each chunk's body in order, so that the deliveries.created
// events alone prove that they contain exactly this audience.
type AudienceResolved struct {
	MessageID      uuid.UUID      `json:"message_id"`
	Count          int            `json:"count"`
	Chunks         int            `json:"chunks"`
	ManifestDigest string         `json:"manifest_digest"`
	Included       map[string]int `json:"included"`
	Excluded       map[string]int `json:"excluded"`
	// Directory is "sha256:" and the digest, in hexadecimal, of the state of the whole directory
	// on which groups were evaluated (roster.State), and Day the calendar day, such as
	// 2026-11-29. They are empty in version 1: for chosen people, and before version 2.
	Directory string `json:"directory,omitempty"`
	Day       string `json:"day,omitempty"`
}

// ofDirectory is the version of an audience.resolved that cites the directory.
const ofDirectory = 2

func (AudienceResolved) EventType() Type      { return TypeAudienceResolved }
func (b AudienceResolved) Key() []string      { return []string{b.MessageID.String()} }
func (b AudienceResolved) Message() uuid.UUID { return b.MessageID }

func (b AudienceResolved) version() int {
	if b.Directory == "" {
		return 1
	}
	return ofDirectory
}

func (b AudienceResolved) summary(s speaker) string {
	return s.Text("froze the audience: {people} in {chunks}", "people", s.people(b.Count), "chunks", s.chunks(b.Chunks))
}

// FanoutCompleted says that every chunk of a message is recorded. With Notice, from version 2 on,
// the sender gets a notice when the message has ended: messages of before notices have none, also
// in a record that is projected again.
type FanoutCompleted struct {
	MessageID  uuid.UUID `json:"message_id"`
	Deliveries int       `json:"deliveries"`
	Chunks     int       `json:"chunks"`
	Notice     bool      `json:"notice,omitempty"`
}

// withNotice is the version of a fanout.completed that says that the sender gets a notice.
const withNotice = 2

func (b FanoutCompleted) version() int {
	if b.Notice {
		return withNotice
	}
	return 1
}

func (FanoutCompleted) EventType() Type      { return TypeFanoutCompleted }
func (b FanoutCompleted) Key() []string      { return []string{b.MessageID.String()} }
func (b FanoutCompleted) Message() uuid.UUID { return b.MessageID }

func (b FanoutCompleted) summary(s speaker) string {
	return s.Text("recorded every delivery: {count} in {chunks}", "count", b.Deliveries, "chunks", s.chunks(b.Chunks))
}

func (s speaker) chunks(n int) string { return s.Count(n, "{n} chunk", "{n} chunks") }

func (s speaker) people(n int) string { return s.Count(n, "{n} portal user", "{n} portal users") }

// DeliveryOpened says that a portal user opened a message for the first time. Later
// openings are not recorded.
type DeliveryOpened struct {
	MessageID    uuid.UUID `json:"message_id"`
	PortalUserID string    `json:"portal_user_id"`
	PortalUserNo int32     `json:"portal_user_no"`
}

func (DeliveryOpened) EventType() Type      { return TypeDeliveryOpened }
func (b DeliveryOpened) Key() []string      { return []string{b.MessageID.String(), b.PortalUserID} }
func (b DeliveryOpened) Message() uuid.UUID { return b.MessageID }

// AttachmentDownloaded says that a portal user downloaded a document. Request
// tells one download from the next.
type AttachmentDownloaded struct {
	MessageID    uuid.UUID `json:"message_id"`
	PortalUserID string    `json:"portal_user_id"`
	PortalUserNo int32     `json:"portal_user_no"`
	AttachmentID uuid.UUID `json:"attachment_id"`
	Request      uuid.UUID `json:"request"`
}

func (b AttachmentDownloaded) Key() []string      { return []string{b.Request.String()} }
func (b AttachmentDownloaded) Message() uuid.UUID { return b.MessageID }
func (AttachmentDownloaded) EventType() Type      { return TypeAttachmentDownloaded }
