package sendgridfake

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Event is one report as SendGrid posts it. A test may change its fields before it posts
// the event.
type Event struct {
	Email     string `json:"email,omitempty"`
	Timestamp int64  `json:"timestamp"`
	SMTPID    string `json:"smtp-id,omitempty"`
	Event     string `json:"event"`
	ID        string `json:"sg_event_id"`
	MessageID string `json:"sg_message_id,omitempty"`
	Type      string `json:"type,omitempty"`
	Status    string `json:"status,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Response  string `json:"response,omitempty"`
	IP        string `json:"ip,omitempty"`
	TLS       int    `json:"tls,omitempty"`
	// Try is the number of delivery attempts, a string in SendGrid's JSON.
	Try string `json:"attempt,omitempty"`
	// AttemptID and Position are the alert's custom_args.
	AttemptID string `json:"attempt_id,omitempty"`
	Position  string `json:"n,omitempty"`
}

// Report makes an event of any kind about an accepted mail. Its sg_event_id depends only
// on the mail and the kind, so a second event is a repeat.
func Report(kind string, m Mail, at time.Time) Event {
	unique := fmt.Sprintf("%s-%s-%s-%d", kind, m.MessageID, m.To, m.Position)
	id := uuid.NewSHA1(uuid.NameSpaceOID, []byte(unique))
	e := Event{
		Email:     m.To,
		Timestamp: at.Unix(),
		SMTPID:    "<" + m.MessageID + "@geopod-ismtpd-0>",
		Event:     kind,
		ID:        base64.RawURLEncoding.EncodeToString(id[:]),
		MessageID: m.MessageID + ".recvd-0-1-0." + strconv.Itoa(max(m.Position, 0)),
	}
	if m.Attempt != uuid.Nil {
		e.AttemptID = m.Attempt.String()
	}
	if m.Position >= 0 {
		e.Position = strconv.Itoa(m.Position)
	}
	return e
}

// Processed reports that SendGrid is about to deliver the mail.
func Processed(m Mail, at time.Time) Event { return Report("processed", m, at) }

// Delivered reports that the receiving server accepted the mail.
func Delivered(m Mail, at time.Time) Event {
	e := Report("delivered", m, at)
	e.Response, e.IP, e.TLS = "250 2.0.0 OK", "192.0.2.10", 1
	return e
}

// Deferred reports that the receiving server deferred the mail; try counts from 1.
func Deferred(m Mail, at time.Time, try int, response string) Event {
	e := Report("deferred-"+strconv.Itoa(try), m, at)
	e.Event, e.Response, e.Try = "deferred", response, strconv.Itoa(try)
	return e
}

// Bounce reports that the receiving server refused the address permanently.
func Bounce(m Mail, at time.Time, status, reason string) Event {
	e := Report("bounce", m, at)
	e.Type, e.Status, e.Reason = "bounce", status, reason
	return e
}

// Blocked reports that the receiving server refused this mail.
func Blocked(m Mail, at time.Time, status, reason string) Event {
	e := Bounce(m, at, status, reason)
	e.Type = "blocked"
	return e
}

// Dropped reports that SendGrid did not try to deliver the mail, for example because the
// address bounced before.
func Dropped(m Mail, at time.Time, reason string) Event {
	e := Report("dropped", m, at)
	e.Reason = reason
	return e
}

// SpamReport reports that the recipient marked the mail as spam.
func SpamReport(m Mail, at time.Time) Event { return Report("spamreport", m, at) }
