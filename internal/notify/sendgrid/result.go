package sendgrid

import "time"

// Kind says what is known of a request after Send.
type Kind int

const (
	// Unknown: the request left here whole, or may have, and no answer that
	// says what became of it came back: a time-out, a reset, a closed or
	// garbled connection, a cancelled context, a gateway's own time-out (504),
	// a 2xx that is not 202. It is the zero Kind, so that a Result nobody
	// filled in is never mistaken for one that may be repeated.
	Unknown Kind = iota
	// Accepted: SendGrid answered 202 and will send the alerts.
	Accepted
	// Refused: SendGrid answered that it will not take the request, and took
	// nothing of it. Refusals names the recipients that are at fault; where it
	// is empty the request as a whole was (the key, the sender, its size).
	Refused
	// RateLimited: SendGrid answered 429 and took nothing; Until says when to
	// come back.
	RateLimited
	// Unavailable: SendGrid took nothing, for a passing reason: a 5xx answer, no
	// connection, or one that broke before the request had been written whole.
	Unavailable
	// Invalid: the caller broke a precondition of Send, nothing was sent, and
	// repeating the call is no use.
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

// Result is what is known of one request. It holds no address.
type Result struct {
	Kind Kind
	// Status is the HTTP status of the answer, 0 where none came.
	Status int
	// MessageID is SendGrid's X-Message-Id of an accepted request: the part
	// before the first dot of every sg_message_id in its reports.
	MessageID string
	// Refusals are the recipients that a Refused request was refused for. Send
	// the rest again without them; SendGrid may name only some at a time.
	Refusals []Refusal
	// Until is when a RateLimited request may be sent again.
	Until time.Time
	// Reason says in plain words why the request was not accepted.
	Reason string
}

// Refusal is one recipient that SendGrid would not take.
type Refusal struct {
	// Position is the Address.Position that the recipient was sent with.
	Position int
	// Reason is SendGrid's, with addresses masked.
	Reason string
}
