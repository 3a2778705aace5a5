// Package compose turns a request into one message.sent event: steps 1 to 3 of
// docs/life-of-a-message.md. It also cancels and recalls messages.
//
// # Order and durability
//
// A send goes through these commit points, each with what a crash after it
// leaves:
//
//  1. The claim: one transaction writes app.sends, which ties the sender's
//     idempotency key to a message id and its times, and app.message_content,
//     the sealed header and the key of all content. The message is not sent.
//  2. The body, encrypted, in the content store. The message is not sent.
//  3. message.sent, acknowledged by JetStream. The message is sent.
//  4. The claim's status published: a retry does not publish again.
//
// A retry with the same key finds the claim and continues where the first try
// stopped, with the same id, times and digests, and so the same event: the record
// counts it once. Everything that depends on the directory is checked before the
// claim, and not again.
//
// # What erases a message
//
// The header is sealed with the message's key and holds the wrapped keys of its
// attachments, so that deleting the row of app.message_content erases subject,
// names, body and attachments, once [Composer.Sweep] has deleted the uploads that
// the attachments were sent from.
//
// # Who may cancel or recall a message
//
// The sender, while they have the permission send_portal_message. All others get
// [message.ErrNotFound].
//
// A Composer is safe for concurrent use, also by several processes.
//
// # Size
//
// Sending, cancelling and recalling are one package, because they share the claim and
// the order of the commit points above. Drafts are apart.
package compose
