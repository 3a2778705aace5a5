// Package sendgrid sends alerts through SendGrid and reads SendGrid's reports about
// them.
//
// An alert says only that a message waits. [Client.Send] gets an attempt, positions and
// addresses, so nothing of the message can get into an e-mail. One call makes one
// request, POST /v3/mail/send, with one personalization for each recipient, at most
// [MaxRecipients]. It does not retry.
//
// SendGrid has no idempotency key. Its [Result] decides whether a request may be
// repeated, and claims only what is certain:
//
//	Accepted     SendGrid has the alerts. Never repeat.
//	Refused      SendGrid does not have them. A repeat is refused again.
//	RateLimited  SendGrid does not have them. Repeat after Until.
//	Unavailable  SendGrid does not have them. Repeat with backoff.
//	Unknown      SendGrid may have them. Repeat only alerts without a report.
//	Invalid      the call was wrong, nothing was sent.
//
// SendGrid reports on accepted alerts through its event webhook: [VerifyWebhook] checks
// the signature over the raw body and [ParseEvents] decodes it. Addresses don't leave
// this package: a Result and a printed Event have none, and texts of SendGrid and of
// mail servers are masked.
//
// A Client is safe for concurrent use, as are all functions.
//
// # Size
//
// Requests, their answers and the reports about them are one package, because all three name
// recipients by the same arguments and mask the same addresses.
package sendgrid
