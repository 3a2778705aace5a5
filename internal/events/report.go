package events

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Reports of SendGrid's event webhook.
const (
	TypeAlertsReported  Type = "alerts.reported"
	TypeAddressReported Type = "address.reported"
)

var reportTypes = []Descriptor{{
	Type: TypeAlertsReported, Version: 2, Label: "Alert reports received",
	When:       "SendGrid's event webhook reported on alerts",
	Publishers: []string{API}, Rows: []string{"messages", "alert_exceptions", "reports", "dead_addresses", "notices"},
	About: AboutNamed, OfMessage: OneMessage, summary: summary(AlertsReported.summary),
}, {
	Type: TypeAddressReported, Version: 2, Label: "Address reported as not working",
	When:       "SendGrid's event webhook reported a non-working address, for an e-mail other than an alert",
	Publishers: []string{API}, Rows: []string{"dead_addresses"},
	About: AboutNamed, summary: summary(AddressReported.summary),
}}

// AlertsReported is the body of alerts.reported: the reports of SendGrid's event
// webhook, in one POST, about the alerts of one message, grouped by the request that
// sent them. It contains no e-mail addresses.
type AlertsReported struct {
	MessageID uuid.UUID         `json:"message_id"`
	Requests  []ReportedRequest `json:"requests"`
	// Hidden hides the reports, each of which is an entry, without the portal users who share
	// an address. It is nil before version 2.
	Hidden *Hidden `json:"-"`
}

// reportedInParts is the JSON of an AlertsReported from version 2 on.
type reportedInParts = inParts[reportedPublic, reportedPrivate]

type reportedPublic struct {
	MessageID uuid.UUID  `json:"message_id"`
	Entries   *entriesOf `json:"entries,omitempty"`
}

type reportedPrivate struct {
	Seed     string            `json:"seed"`
	Requests []ReportedRequest `json:"requests"`
}

// MarshalJSON implements json.Marshaler.
func (b AlertsReported) MarshalJSON() ([]byte, error) {
	if b.Hidden == nil {
		type whole AlertsReported
		return json.Marshal(whole(b))
	}
	return json.Marshal(reportedInParts{reportedPublic{b.MessageID, b.Hidden.public()}, reportedPrivate{b.Hidden.seed(), b.Requests}})
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *AlertsReported) UnmarshalJSON(data []byte) (err error) {
	if !hasParts(data) {
		type whole AlertsReported
		return json.Unmarshal(data, (*whole)(b))
	}
	var in reportedInParts
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	b.MessageID, b.Requests = in.Public.MessageID, in.Private.Requests
	b.Hidden, err = in.Public.Entries.hidden(in.Private.Seed)
	return err
}

func (b *AlertsReported) readPublic(public []byte) (err error) {
	var p reportedPublic
	if err := json.Unmarshal(public, &p); err != nil {
		return err
	}
	b.MessageID = p.MessageID
	b.Hidden, err = p.Entries.hidden("")
	return err
}

// reportEntry is one report, with its request.
type reportEntry struct {
	RequestID uuid.UUID `json:"request_id"`
	Chunk     int       `json:"chunk"`
	Attempt   int       `json:"attempt"`
	Report
}

func (b *AlertsReported) show(text string) error {
	var e reportEntry
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return err
	}
	b.Requests = append(b.Requests, ReportedRequest{e.RequestID, e.Chunk, e.Attempt, []Report{e.Report}})
	return nil
}

// Entries implements [Hiding]: the reports, in order.
func (b AlertsReported) Entries() (entries [][]byte, _ error) {
	for _, request := range b.Requests {
		for _, r := range request.Reports {
			r.ID, r.Type, r.Bounce, r.Status, r.Reason = wellFormed(r.ID), wellFormed(r.Type), wellFormed(r.Bounce), wellFormed(r.Status), wellFormed(r.Reason)
			r.Dead = nil
			entries = append(entries, entry(reportEntry{request.RequestID, request.Chunk, request.Attempt, r}))
		}
	}
	return entries, nil
}

// HiddenBy implements [Hiding].
func (b AlertsReported) HiddenBy() *Hidden { return b.Hidden }

func (AlertsReported) parts() int            { return 2 }
func (b AlertsReported) version() int        { return versionOfParts(b) }
func (b AlertsReported) hide(h *Hidden) Body { b.Hidden = h; return b }

// ReportedRequest is a request to SendGrid with the reports about its alerts.
type ReportedRequest struct {
	RequestID uuid.UUID `json:"request_id"`
	Chunk     int       `json:"chunk"`
	Attempt   int       `json:"attempt"`
	Reports   []Report  `json:"reports"`
}

// Report is one event of SendGrid about one alert. Type and Bounce are SendGrid's own
// values. Status and Reason are those of the receiving server. Every address is masked.
type Report struct {
	ID           string    `json:"sg_event_id"`
	Type         string    `json:"type"`
	Bounce       string    `json:"bounce,omitempty"` // for a bounce: "bounce" or "blocked"
	At           time.Time `json:"at"`
	Status       string    `json:"status,omitempty"`
	Reason       string    `json:"reason,omitempty"`
	Position     int       `json:"position"`
	PortalUserID string    `json:"portal_user_id"`
	PortalUserNo int32     `json:"portal_user_no"`
	// Dead are the portal users who had the address when SendGrid reported that it does
	// not work. It is empty if the directory had another address by then.
	Dead []DeadAddress `json:"dead_address_of,omitempty"`
}

// DeadAddress is a portal user whose address does not work. Version counts the changes
// of the address in the directory: after the next change, the entry no longer applies.
type DeadAddress struct {
	PortalUserID string `json:"portal_user_id"`
	PortalUserNo int32  `json:"portal_user_no"`
	Version      int    `json:"address_version"`
}

// AddressReported is the body of address.reported: SendGrid's event webhook reported
// that an address of portal users does not work. The report is about an e-mail that is
// no alert of Postern, or that the report does not identify. The event says nothing
// about an alert, and contains no address.
type AddressReported struct {
	ID     string        `json:"sg_event_id"`
	Type   string        `json:"type"`
	At     time.Time     `json:"at"`
	Status string        `json:"status,omitempty"`
	Reason string        `json:"reason,omitempty"`
	Dead   []DeadAddress `json:"dead_address_of"`
	// Hidden hides the portal users, each of whom is an entry. It is nil before version 2.
	Hidden *Hidden `json:"-"`
}

// addressInParts is the JSON of an AddressReported from version 2 on.
type addressInParts = inParts[addressPublic, addressPrivate]

type addressPublic struct {
	ID      string     `json:"sg_event_id"`
	Type    string     `json:"type"`
	At      time.Time  `json:"at"`
	Entries *entriesOf `json:"entries,omitempty"`
}

type addressPrivate struct {
	Seed   string        `json:"seed"`
	Status string        `json:"status,omitempty"`
	Reason string        `json:"reason,omitempty"`
	Dead   []DeadAddress `json:"dead_address_of"`
}

// MarshalJSON implements json.Marshaler.
func (b AddressReported) MarshalJSON() ([]byte, error) {
	if b.Hidden == nil {
		type whole AddressReported
		return json.Marshal(whole(b))
	}
	return json.Marshal(addressInParts{addressPublic{b.ID, b.Type, b.At, b.Hidden.public()}, addressPrivate{b.Hidden.seed(), b.Status, b.Reason, b.Dead}})
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *AddressReported) UnmarshalJSON(data []byte) (err error) {
	if !hasParts(data) {
		type whole AddressReported
		return json.Unmarshal(data, (*whole)(b))
	}
	var in addressInParts
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	b.ID, b.Type, b.At = in.Public.ID, in.Public.Type, in.Public.At
	b.Status, b.Reason, b.Dead = in.Private.Status, in.Private.Reason, in.Private.Dead
	b.Hidden, err = in.Public.Entries.hidden(in.Private.Seed)
	return err
}

// Entries implements [Hiding].
func (b AddressReported) Entries() (entries [][]byte, _ error) {
	for _, d := range b.Dead {
		entries = append(entries, entry(d))
	}
	return entries, nil
}

// HiddenBy implements [Hiding].
func (b AddressReported) HiddenBy() *Hidden { return b.Hidden }

func (AddressReported) parts() int            { return 2 }
func (b AddressReported) version() int        { return versionOfParts(b) }
func (b AddressReported) hide(h *Hidden) Body { b.Hidden = h; return b }

// Failed reports whether the alert was not delivered, or was reported as spam. Later
// reports about the same alert don't change that. Every other report, also one of an
// unknown type, means that SendGrid has accepted the alert.
func (r Report) Failed() bool {
	switch r.Type {
	case "bounce", "dropped", "spamreport":
		return true
	}
	return false
}

// AddressIsDead reports whether the address does not work, and not only this e-mail:
// the receiving server refused the address permanently, now or earlier.
func (r Report) AddressIsDead() bool {
	switch r.Type {
	case "bounce":
		return r.Bounce == "" || r.Bounce == "bounce"
	case "dropped":
		return r.Reason == droppedBounced || r.Reason == droppedInvalid
	}
	return false
}

// SendGrid's reasons for a drop.
// https://www.twilio.com/docs/sendgrid/ui/analytics-and-reporting/drops
const (
	droppedBounced      = "Bounced Address"
	droppedInvalid      = "Invalid"
	droppedUnsubscribed = "Unsubscribed Address"
	droppedSpamReporter = "Spam Reporting Address"
)

// Words gives the reason why the alert failed, for people; "" if it did not fail. The
// texts are stored: they don't change.
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

func quoting(text, reason string) string {
	if reason == "" {
		return text
	}
	return text + ": " + reason
}

// Key is the set of reports. SendGrid repeats the POST of a whole batch until it gets
// an answer: a repeat is the same fact.
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

func (b AlertsReported) summary(s speaker) string {
	n := 0
	for _, r := range b.Requests {
		n += len(r.Reports)
	}
	return s.Count(n, "reported on alerts of the message: {n} report", "reported on alerts of the message: {n} reports")
}

func (AddressReported) EventType() Type    { return TypeAddressReported }
func (b AddressReported) Key() []string    { return []string{b.ID} }
func (AddressReported) Message() uuid.UUID { return uuid.Nil }

func (b AddressReported) summary(s speaker) string {
	return s.Count(len(b.Dead), "reported that the e-mail address of {n} portal user does not work", "reported that the e-mail address of {n} portal users does not work")
}
