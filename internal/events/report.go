package events

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"postern/internal/text/number"

	"github.com/google/uuid"
)

// What SendGrid's event webhook reported.
const (
	TypeAlertsReported  Type = "alerts.reported"
	TypeAddressReported Type = "address.reported"
)

var reportTypes = []Descriptor{{
	Type: TypeAlertsReported, Version: 1, Label: "Alerts reported on",
	When:       "SendGrid's event webhook reported on alerts",
	Publishers: []string{API}, Rows: []string{"messages", "alert_exceptions", "reports", "dead_addresses"},
	About: AboutNamed, OfMessage: OneMessage, summary: summary(AlertsReported.summary),
}, {
	Type: TypeAddressReported, Version: 1, Label: "Address reported not to work",
	When:       "it reported that an address does not work, of an e-mail that was no alert",
	Publishers: []string{API}, Rows: []string{"dead_addresses"},
	About: AboutNamed, summary: summary(AddressReported.summary),
}}

// AlertsReported is the body of alerts.reported: what SendGrid's event webhook
// said of the alerts of one message in one post, by the request that sent them.
// It names nobody's address.
type AlertsReported struct {
	MessageID uuid.UUID         `json:"message_id"`
	Requests  []ReportedRequest `json:"requests"`
}

// ReportedRequest is a call of SendGrid and what was reported of its alerts.
type ReportedRequest struct {
	RequestID uuid.UUID `json:"request_id"`
	Chunk     int       `json:"chunk"`
	Attempt   int       `json:"attempt"`
	Reports   []Report  `json:"reports"`
}

// Report is one event of SendGrid's about one alert. Type, Bounce, Status and
// Reason are SendGrid's own words, the latter two as the receiving server said
// them, with every address masked.
type Report struct {
	ID           string    `json:"sg_event_id"`
	Type         string    `json:"type"`
	Bounce       string    `json:"bounce,omitempty"` // of a bounce: "bounce" or "blocked"
	At           time.Time `json:"at"`
	Status       string    `json:"status,omitempty"`
	Reason       string    `json:"reason,omitempty"`
	Position     int       `json:"position"`
	PortalUserID string    `json:"portal_user_id"`
	PortalUserNo int32     `json:"portal_user_no"`
	// Dead are the portal users who had the address when it was reported not to
	// work: none where the directory had another by then.
	Dead []DeadAddress `json:"dead_address_of,omitempty"`
}

// DeadAddress is a portal user whose address does not work. Version counts the
// changes of the address in the directory: with the next change it is another.
type DeadAddress struct {
	PortalUserID string `json:"portal_user_id"`
	PortalUserNo int32  `json:"portal_user_no"`
	Version      int    `json:"address_version"`
}

// AddressReported is the body of address.reported: SendGrid's event webhook said that an
// address does not work which portal users have, of an e-mail that was no alert of ours
// or that it did not name. It says nothing of any alert, and names no address.
type AddressReported struct {
	ID     string        `json:"sg_event_id"`
	Type   string        `json:"type"`
	At     time.Time     `json:"at"`
	Status string        `json:"status,omitempty"`
	Reason string        `json:"reason,omitempty"`
	Dead   []DeadAddress `json:"dead_address_of"`
}

// Failed says whether the alert did not get through, or got through and did harm.
// Nothing that SendGrid reports afterwards of the same alert mends that. Every
// other report, of a type yet unknown too, says that SendGrid has the alert.
func (r Report) Failed() bool {
	switch r.Type {
	case "bounce", "dropped", "spamreport":
		return true
	}
	return false
}

// AddressIsDead says whether the report is of the address and not of this mail: the
// receiving server refused it for good, or SendGrid remembers that it did.
func (r Report) AddressIsDead() bool {
	switch r.Type {
	case "bounce":
		return r.Bounce == "" || r.Bounce == "bounce"
	case "dropped":
		return r.Reason == droppedBounced || r.Reason == droppedInvalid
	}
	return false
}

// What SendGrid gives as the reason of a drop.
// https://www.twilio.com/docs/sendgrid/ui/analytics-and-reporting/drops
const (
	droppedBounced      = "Bounced Address"
	droppedInvalid      = "Invalid"
	droppedUnsubscribed = "Unsubscribed Address"
	droppedSpamReporter = "Spam Reporting Address"
)

// Words say in plain words why the alert failed, and "" where it did not.
func (r Report) Words() string {
	switch {
	case r.Type == "spamreport":
		return "the recipient reported the e-mail as spam"
	case r.Type == "bounce" && r.AddressIsDead():
		return quoting("the e-mail address does not work", r.Reason)
	case r.Type == "bounce":
		return quoting("the receiving server turned the e-mail away", r.Reason)
	case r.Type != "dropped":
		return ""
	}
	switch r.Reason {
	case droppedBounced:
		return "SendGrid did not send it: e-mail to this address came back before"
	case droppedInvalid:
		return "SendGrid did not send it: the e-mail address is not valid"
	case droppedUnsubscribed:
		return "SendGrid did not send it: the recipient unsubscribed"
	case droppedSpamReporter:
		return "SendGrid did not send it: the recipient reported an earlier e-mail as spam"
	}
	return quoting("SendGrid did not send it", r.Reason)
}

func quoting(words, said string) string {
	if said == "" {
		return words
	}
	return words + ": " + said
}

// Key is the set of reports: SendGrid posts a batch again, whole, until it is
// answered, and then it is the same fact.
func (b AlertsReported) Key() []string {
	var ids []string
	for _, request := range b.Requests {
		for _, r := range request.Reports {
			ids = append(ids, r.ID)
		}
	}
	slices.Sort(ids)
	digest := sha256.New()
	for _, id := range ids {
		digest.Write([]byte(id))
		digest.Write([]byte{0})
	}
	return []string{b.MessageID.String(), hex.EncodeToString(digest.Sum(nil))}
}

func (AlertsReported) EventType() Type      { return TypeAlertsReported }
func (b AlertsReported) Message() uuid.UUID { return b.MessageID }

func (b AlertsReported) summary(Names) string {
	n := 0
	for _, r := range b.Requests {
		n += len(r.Reports)
	}
	return "reported on alerts of the message: " + number.Of(n, "report", "reports")
}

func (AddressReported) EventType() Type    { return TypeAddressReported }
func (b AddressReported) Key() []string    { return []string{b.ID} }
func (AddressReported) Message() uuid.UUID { return uuid.Nil }

func (b AddressReported) summary(Names) string {
	return "reported that the e-mail address of " + number.Of(len(b.Dead), "portal user", "portal users") + " does not work"
}
