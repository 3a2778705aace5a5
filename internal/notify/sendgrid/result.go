package sendgrid

import "time"

// Kind is what is known about a request after Send.
type Kind int

const (
	// Unknown: the request was sent completely, or may have been, without a usable
	// answer: a timeout, a reset, a closed connection, an unreadable answer, a cancelled
	// context, a gateway's own timeout (504), a 2xx other than 202. It is the zero Kind,
	// so that an empty Result never allows a repeat.
	Unknown Kind = iota
	// Accepted: SendGrid answered 202 and will send the alerts.
	Accepted
	// Refused: SendGrid refused the whole request. Refusals has the recipients at fault;
	// if it is empty, the request itself is at fault (the key, the sender, its size).
	Refused
	// RateLimited: SendGrid answered 429 and accepted nothing. Until is the time for a
	// retry.
	RateLimited
	// Unavailable: SendGrid accepted nothing, for a transient reason: a 5xx answer, no
	// connection, or a connection that broke before the complete request was written.
	Unavailable
	// Invalid: the caller broke a precondition of Send. Nothing was sent, and a retry
	// can't help.
	Invalid
)

// String gives the kind in one lower-case word, for logs and metrics.
func (k Kind) String() string {
	switch k {
	case Accepted:
		return "accepted"
	case Refused:
		return "refused"
	case RateLimited:
		return "rate_limited"
	case Unavailable:
		return "unavailable"
	case Invalid:
		return "invalid"
	default:
		return "unknown"
	}
}

// Result is what is known about one request. It contains no address.
type Result struct {
	Kind Kind
	// Status is the HTTP status of the answer, 0 if there was none.
	Status int
	// MessageID is SendGrid's X-Message-Id of an accepted request: the part
	// before the first dot of every sg_message_id in its reports.
	MessageID string
	// Refusals are the recipients because of whom a request was Refused. Send the
	// request again without them; SendGrid may name only some at a time.
	Refusals []Refusal
	// Until is the time after which a RateLimited request may be repeated.
	Until time.Time
	// Reason says, for people, why the request was not accepted.
	Reason string
}

// Refusal is one recipient that SendGrid refused.
type Refusal struct {
	// Position is the recipient's Address.Position.
	Position int
	// Reason is SendGrid's reason, with addresses masked.
	Reason string
}
