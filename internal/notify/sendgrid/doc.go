// Package sendgrid hands alerts to SendGrid and reads what SendGrid reports of
// them afterwards.
//
// An alert says that a message waits and nothing else: [Client.Send] is given
// an attempt, positions and addresses, so there is nothing of the message that
// could slip into an e-mail. One call is one request of
// POST /v3/mail/send with one personalization a recipient, at most
// [MaxRecipients]; there is no retry inside.
//
// SendGrid has no idempotency key, so whether a request may be repeated rests
// on what its [Result] says, and the result claims no more than is known:
//
//	Accepted     SendGrid has it. Never repeat.
//	Refused      SendGrid has it not. Repeating the same gets the same.
//	RateLimited  SendGrid has it not. Repeat after Until.
//	Unavailable  SendGrid has it not. Repeat with backoff.
//	Unknown      SendGrid may have it. Repeat only what its reports don't name.
//	Invalid      the call itself was wrong, nothing was sent.
//
// What SendGrid does with an accepted alert comes by its event webhook:
// [VerifyWebhook] checks the signature over the raw body and [ParseEvents]
// reads it. Addresses end here: neither a Result nor an Event holds one, and
// texts of SendGrid's and of mail servers are masked.
//
// A Client is safe for concurrent use; everything else is plain functions.
package sendgrid
